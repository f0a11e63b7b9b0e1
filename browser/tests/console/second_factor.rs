//! A second factor: a code without any script, and passkeys with the browser's own authenticator.

use browser::{BoxError, Look, Window, wanted};
use jit_core::clock::{Clock, SystemClock};
use jit_core::id::Timestamp;

use crate::World;

/// What the demo tells everyone.
const SECRET: &str = "PFUGKYLNNR2XI2DPOJUXUZJAMJXWEIDE";

/// What Bob's app shows now.
fn code() -> Result<String, BoxError> {
    let secret = totp_rs::Secret::try_from_base32(SECRET).map_err(|error| format!("{error:?}"))?;
    let totp = totp_rs::Builder::new().with_secret(secret).build();
    let now = u64::try_from(SystemClock::new().now().timestamp())?;
    Ok(totp
        .map_err(|error| format!("{error:?}"))?
        .generate(now)
        .to_string())
}

/// Carol, with a passkey of her own.
pub(crate) async fn with_passkey(world: &World) -> Result<Window, BoxError> {
    let carol = world.signed_in("Carol", Look::default()).await?;
    carol.authenticator(true).await?;
    carol.go(&world.demo.console("/")).await?;
    carol.press("header a.who").await?;
    carol.says("You have none yet.").await?;
    carol.fill("name", "blue key").await?;
    carol.press_words("Add a passkey").await?;
    carol.says("blue key").await?;
    carol.says("never used").await?;
    Ok(carol)
}

/// The one review in the log.
async fn reviewed(auditor: &Window) -> Result<serde_json::Value, BoxError> {
    let log = auditor
        .fetched("/_jit/v1/events?limit=1000", "demo-carol")
        .await?;
    let log: serde_json::Value = serde_json::from_str(&log)?;
    let items = log["items"].as_array().ok_or("there is no log")?;
    let review = items.iter().find(|item| item["type"] == "reviewed");
    Ok(review.ok_or("there is no review")?.clone())
}

/// Milliseconds from when the approval was written down until the page at which `back` is now began to load, both by the clock of this
/// machine.
pub(crate) async fn since_approval(auditor: &Window, back: &Window) -> Result<f64, BoxError> {
    let began = back.script("return performance.timeOrigin").await?;
    let began = began.as_f64().ok_or("the page has no beginning")?;
    let decided: Timestamp = reviewed(auditor).await?["at"]
        .as_str()
        .unwrap_or_default()
        .parse()?;
    Ok(began - decided.timestamp_micros() as f64 / 1e3)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_opens_the_way_without_any_script() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let world = World::new().await?;
    let request = world.asks_for_payroll().await?;
    let look = Look {
        scriptless: true,
        ..Look::default()
    };
    let bob = world.signed_in("Bob", look).await?;
    bob.go(&request).await?;
    bob.fill("comment", "mind the drawer").await?;
    bob.press("button[value=approve]").await?;
    bob.says("What you typed is kept.").await?;
    bob.fill("code", "000000").await?;
    bob.press_words("Go on").await?;
    bob.says("That was not right").await?;
    bob.fill("code", &code()?).await?;
    bob.press_words("Go on").await?;
    bob.says("nothing was decided yet").await?;
    assert!(bob.source().await?.contains("mind the drawer"));
    bob.press("button[value=approve]").await?;
    bob.says("Approvals").await?;
    bob.go(&request).await?;
    bob.says("mind the drawer").await?;
    bob.says("It is open, and ends").await?;
    bob.close().await?;
    world.demo.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_is_added_and_signs_an_approval() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let world = World::new().await?;
    let carol = with_passkey(&world).await?;
    let alice = world.refused("/payroll", Look::default()).await?;
    alice.fill("reason", "somebody was not paid").await?;
    alice.press_words("Request access").await?;
    alice.says("What is asked for").await?;
    carol.go(&world.demo.console("/approvals")).await?;
    carol.press_words("look at it and decide").await?;
    carol.says("Your decision").await?;
    carol.fill("comment", "ask Bob next time").await?;
    carol.press_words("Approve with a passkey").await?;
    let page = carol.says("Your passkey signs this").await?;
    assert!(
        page.contains("payroll for Alice") && page.contains("ask Bob next time"),
        "{page}"
    );
    carol.press_words("Sign and approve").await?;
    carol.says("Approvals").await?;
    let payroll = world.demo.guarded("/payroll");
    alice.arrives(|at| at == payroll).await?;
    let review = reviewed(&carol).await?;
    println!(
        "back {:.0} ms after the approval",
        since_approval(&carol, &alice).await?
    );
    let evidence = &review["event"]["review"]["evidence"];
    for part in [
        "credential",
        "authenticator_data",
        "client_data",
        "signature",
        "statement",
    ] {
        let text = evidence[part].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{part}: {evidence}");
    }
    let stated: serde_json::Value = serde_json::from_str(evidence["statement"].as_str().unwrap_or_default())?;
    assert_eq!(stated["comment"], "ask Bob next time");
    carol.close().await?;
    alice.close().await?;
    world.demo.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_for_another_request_is_refused() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let world = World::new().await?;
    let carol = with_passkey(&world).await?;
    let alice = world.refused("/admin", Look::default()).await?;
    alice.fill("reason", "look into the failed import").await?;
    alice.press_words("Request access").await?;
    alice.says("What is asked for").await?;
    let harmless = alice.at().await?;
    let harmless = harmless.split('?').next().unwrap_or_default();
    let payroll = world.asks_for_payroll().await?;
    carol.go(harmless).await?;
    carol.press_words("Approve with a passkey").await?;
    carol.says("Your passkey signs this").await?;
    let options = carol
        .script("return document.querySelector('form[data-passkey]').dataset.options")
        .await?;
    carol.go(&payroll).await?;
    carol.press_words("Approve with a passkey").await?;
    carol.says("Your passkey signs this").await?;
    // As a script would that has got into the page: the signature that is asked for is another request's.
    let swap = format!("document.querySelector('form[data-passkey]').dataset.options = {options}");
    carol.script(&swap).await?;
    carol.press_words("Sign and approve").await?;
    carol
        .says("Your passkey was not accepted. Try it again. Nothing was decided.")
        .await?;
    carol.go(&payroll).await?;
    carol.says("Your decision").await?;
    carol.close().await?;
    alice.close().await?;
    world.demo.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authenticator_that_does_not_know_its_person_adds_nothing() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let world = World::new().await?;
    let carol = world.signed_in("Carol", Look::default()).await?;
    carol.authenticator(false).await?;
    carol.go(&world.demo.console("/security")).await?;
    carol.press_words("Add a passkey").await?;
    carol.says("That did not work, or was stopped.").await?;
    carol.press_words("Not now").await?;
    carol.says("You have none yet.").await?;
    carol.close().await?;
    world.demo.stop().await
}
