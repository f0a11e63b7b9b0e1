//! No page has a barrier that axe-core knows, and none is wider than a phone.

use browser::{BoxError, Look, Window, wanted};

use crate::World;

async fn look_at(window: &Window, what: &str, wrong: &mut Vec<String>) -> Result<(), BoxError> {
    let at = window.at().await?;
    wrong.extend(
        (window.barriers().await?)
            .iter()
            .map(|found| format!("{what} at {at}: {found}")),
    );
    if window.overflows().await? {
        wrong.push(format!("{what} at {at} is wider than its window"));
    }
    Ok(())
}

/// Every page that there is, in one look.
async fn every_page(look: Look) -> Result<(), BoxError> {
    let world = World::new().await?;
    let mut wrong = Vec::new();
    let stranger = world.driver.browser(look).await?;
    stranger.go(&world.demo.console("/login")).await?;
    look_at(&stranger, "sign-in", &mut wrong).await?;
    stranger.go(&world.demo.console("/nothing-here")).await?;
    look_at(&stranger, "no such page", &mut wrong).await?;

    let alice = world.refused("/admin/users?page=2", look).await?;
    look_at(&alice, "asking", &mut wrong).await?;
    alice.fill("duration", "a while").await?;
    alice.fill("reason", "look into the failed import").await?;
    alice.press_words("Request access").await?;
    alice.says("This must read like").await?;
    look_at(&alice, "asking, with an error", &mut wrong).await?;
    alice.fill("duration", "5m").await?;
    alice.press_words("Request access").await?;
    alice.says("What is asked for").await?;
    look_at(&alice, "my request", &mut wrong).await?;

    let carol = world.signed_in("Carol", look).await?;
    carol.go(&world.demo.console("/approvals")).await?;
    look_at(&carol, "the queue", &mut wrong).await?;
    carol.press_words("look at it and decide").await?;
    carol.says("Your decision").await?;
    look_at(&carol, "deciding", &mut wrong).await?;
    carol.press("button[value=approve]").await?;
    carol.says("Approvals").await?;
    alice
        .arrives(|at| at.starts_with(&world.demo.guarded("/admin")))
        .await?;
    for path in [
        "/requests",
        "/approvals",
        "/grants",
        "/audit",
        "/policies",
        "/ask",
    ] {
        carol.go(&world.demo.console(path)).await?;
        look_at(&carol, path, &mut wrong).await?;
    }
    carol.go(&world.demo.console("/audit")).await?;
    let story = carol
        .links()
        .await?
        .into_iter()
        .find(|link| link.contains("/audit/req_"));
    carol.go(&story.ok_or("the log links to no story")?).await?;
    look_at(&carol, "a story", &mut wrong).await?;

    // A second factor: wanted, added, and used under a decision.
    let bob = world.signed_in("Bob", look).await?;
    let request = world.asks_for_payroll().await?;
    bob.go(&request).await?;
    bob.says("what you type is kept").await?;
    look_at(&bob, "deciding, with a second factor wanted", &mut wrong).await?;
    bob.press("button[value=approve]").await?;
    bob.says("Code of your authenticator app").await?;
    look_at(&bob, "a second factor", &mut wrong).await?;
    bob.fill("code", "000000").await?;
    bob.press_words("Go on").await?;
    bob.says("was not right").await?;
    look_at(&bob, "a second factor, with an error", &mut wrong).await?;
    carol.authenticator(true).await?;
    carol.go(&world.demo.console("/security")).await?;
    look_at(&carol, "no passkeys", &mut wrong).await?;
    carol.fill("name", "laptop").await?;
    carol.press_words("Add a passkey").await?;
    carol.says("never used").await?;
    look_at(&carol, "passkeys", &mut wrong).await?;
    carol.go(&request).await?;
    look_at(&carol, "deciding with a passkey", &mut wrong).await?;
    carol.press_words("Approve with a passkey").await?;
    carol.says("Nothing was decided yet").await?;
    look_at(&carol, "signing", &mut wrong).await?;
    for window in [stranger, alice, carol, bob] {
        window.close().await?;
    }
    world.demo.stop().await?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_has_a_barrier() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    every_page(Look::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_has_a_barrier_on_a_phone_in_the_dark() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let look = Look {
        phone: true,
        dark: true,
        ..Look::default()
    };
    every_page(look).await
}
