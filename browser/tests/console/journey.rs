//! From the refusal to the page and back out, as people go it.

use browser::{BoxError, Look, Window, wanted};

use crate::World;
use crate::second_factor::{since_approval, with_passkey};

const PAGE: &str = "/admin/users?page=2";

/// Alice, who was refused and has asked.
async fn asks(world: &World, look: Look) -> Result<Window, BoxError> {
    let alice = world.refused(PAGE, look).await?;
    assert!(alice.text().await?.contains(PAGE), "it says what was refused");
    alice.fill("reason", "look into the failed import").await?;
    alice.fill("duration", "4s").await?;
    alice.press_words("Request access").await?;
    alice.says("What is asked for").await?;
    assert!(alice.at().await?.contains("/requests/"));
    Ok(alice)
}

/// An approver who has found it.
async fn finds(approver: &Window, world: &World) -> Result<(), BoxError> {
    approver.go(&world.demo.console("/approvals")).await?;
    approver.says("look into the failed import").await?;
    approver.press_words("look at it and decide").await?;
    approver.says("Your decision").await?;
    Ok(())
}

/// The window ends. Whoever goes on then is told where to ask, and what became of the last time.
async fn ends(alice: &Window, world: &World) -> Result<(), BoxError> {
    let page = world.demo.guarded(PAGE);
    let refused = async {
        loop {
            alice.go(&page).await?;
            if alice.at().await? != page {
                return Ok::<_, BoxError>(());
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), refused).await??;
    alice
        .arrives(|at| at.starts_with(&world.demo.console("/ask")))
        .await?;
    alice.says("Your last request for it: Its time is over").await?;
    Ok(())
}

/// Refused, signed in, asked, approved in another browser, back at the very page, refused again when the window ends.
async fn there_and_back(look: Look) -> Result<(), BoxError> {
    let world = World::new().await?;
    let alice = asks(&world, look).await?;
    let bob = world.signed_in("Bob", look).await?;
    finds(&bob, &world).await?;
    bob.press("button[value=approve]").await?;
    bob.says("Approvals").await?;
    // By itself.
    let page = world.demo.guarded(PAGE);
    alice.arrives(|at| at == page).await?;
    ends(&alice, &world).await?;
    alice.close().await?;
    bob.close().await?;
    world.demo.stop().await
}

/// What is approved with a passkey brings whoever asked back within a second, and the key that ends a line decides nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_by_passkey_brings_them_back_at_once() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let world = World::new().await?;
    let carol = with_passkey(&world).await?;
    let alice = asks(&world, Look::default()).await?;
    finds(&carol, &world).await?;
    let opens = "document.querySelector('input[name=max_requests]').closest('details').open = true";
    carol.script(opens).await?;
    carol.fill("max_requests", "5\u{e007}").await?;
    carol.fill("max_requests", "").await?;
    assert!(carol.at().await?.contains("/requests/"), "nothing was sent");
    carol.press_words("Approve with a passkey").await?;
    carol.says("Your passkey signs this").await?;
    carol.press_words("Sign and approve").await?;
    carol.says("Approvals").await?;
    let page = world.demo.guarded(PAGE);
    alice.arrives(|at| at == page).await?;
    let after = since_approval(&carol, &alice).await?;
    println!("back {after:.0} ms after the approval");
    assert!(after < 1000.0, "{after} ms");
    ends(&alice, &world).await?;
    alice.close().await?;
    carol.close().await?;
    world.demo.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_person_comes_back_to_the_page_by_themselves() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    there_and_back(Look::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_way_works_without_any_script() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let look = Look {
        scriptless: true,
        ..Look::default()
    };
    there_and_back(look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_told_with_its_reason() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let world = World::new().await?;
    let alice = world.refused(PAGE, Look::default()).await?;
    alice.fill("reason", "<b>bold</b> \u{202e}word").await?;
    alice.press_words("Request access").await?;
    alice.says("<b>bold</b> word").await?;
    let bob = world.signed_in("Bob", Look::default()).await?;
    bob.go(&world.demo.console("/approvals")).await?;
    bob.press_words("look at it and decide").await?;
    bob.fill("comment", "ask after the release").await?;
    bob.press("button[value=deny]").await?;
    alice.says("ask after the release").await?;
    alice.close().await?;
    bob.close().await?;
    world.demo.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_at_the_guarded_origin_too() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let world = World::new().await?;
    let alice = world.refused(PAGE, Look::default()).await?;
    alice.press("header form button").await?;
    alice.arrives(|at| at.contains("/login")).await?;
    // Signed in there still, she would be sent to the page to ask on.
    alice.go(&world.demo.guarded(PAGE)).await?;
    alice
        .arrives(|at| at.starts_with(&world.demo.console("/login")))
        .await?;
    alice.close().await?;
    world.demo.stop().await
}
