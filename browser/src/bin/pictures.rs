//! Pictures of every page: light and dark, desktop and phone.
//!
//! Run with `cargo run -p browser --bin pictures -- FOLDER`.

use std::fs;
use std::path::{Path, PathBuf};

use browser::{BoxError, Driver, Look, Running, Window};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or("name the folder that the pictures go into")?;
    fs::create_dir_all(&folder)?;
    let driver = Driver::start().await?;
    for (name, phone, dark) in [
        ("desktop-light", false, false),
        ("desktop-dark", false, true),
        ("phone-light", true, false),
        ("phone-dark", true, true),
    ] {
        let look = Look {
            phone,
            dark,
            scriptless: false,
        };
        every_page(&driver, look, &folder, name).await?;
        println!("{name}");
    }
    Ok(())
}

async fn take(window: &Window, folder: &Path, look: &str, page: &str) -> Result<(), BoxError> {
    let picture = window.picture().await?;
    Ok(fs::write(folder.join(format!("{page}-{look}.png")), picture)?)
}

async fn every_page(driver: &Driver, look: Look, folder: &Path, name: &str) -> Result<(), BoxError> {
    let demo = Running::start().await?;
    let alice = driver.browser(look).await?;
    alice.go(&demo.guarded("/admin/users?page=2")).await?;
    take(&alice, folder, name, "login").await?;
    alice.press_words("Alice").await?;
    alice.arrives(|at| at.contains("/ask")).await?;
    take(&alice, folder, name, "ask").await?;
    alice
        .fill(
            "reason",
            "INC-4711: the nightly import has failed, look at its users",
        )
        .await?;
    alice.fill("duration", "5m").await?;
    alice.press_words("Request access").await?;
    alice.says("What is asked for").await?;
    take(&alice, folder, name, "my-request").await?;

    let carol = driver.browser(look).await?;
    carol.go(&demo.console("/approvals")).await?;
    carol.press_words("Carol").await?;
    carol.says("look at it and decide").await?;
    take(&carol, folder, name, "approvals").await?;
    carol.press_words("look at it and decide").await?;
    carol.says("Your decision").await?;
    take(&carol, folder, name, "decide").await?;
    carol.press("button[value=approve]").await?;
    carol.says("Approvals").await?;
    let page = demo.guarded("/admin/users?page=2");
    alice.arrives(|at| at == page).await?;
    take(&alice, folder, name, "guarded").await?;
    for page in ["grants", "audit", "policies", "requests", "lockdowns", "security"] {
        carol.go(&demo.console(&format!("/{page}"))).await?;
        take(&carol, folder, name, page).await?;
    }
    carol.go(&demo.console("/audit")).await?;
    let story = carol
        .links()
        .await?
        .into_iter()
        .find(|link| link.contains("/audit/req_"));
    if let Some(story) = story {
        carol.go(&story).await?;
        take(&carol, folder, name, "story").await?;
    }
    // What wants a second factor: a code for Bob, a passkey over the decision for Carol.
    alice.go(&demo.guarded("/payroll")).await?;
    alice.says("Your request").await?;
    alice.fill("reason", "somebody was not paid").await?;
    alice.press_words("Request access").await?;
    alice.says("What is asked for").await?;
    carol.authenticator(true).await?;
    carol.go(&demo.console("/security")).await?;
    carol.fill("name", "blue key").await?;
    carol.press_words("Add a passkey").await?;
    carol.says("never used").await?;
    take(&carol, folder, name, "passkeys").await?;
    carol.go(&demo.console("/approvals")).await?;
    carol.press_words("look at it and decide").await?;
    carol.says("Your decision").await?;
    take(&carol, folder, name, "decide-signed").await?;
    carol.press_words("Approve with a passkey").await?;
    carol.says("Your passkey signs this").await?;
    take(&carol, folder, name, "sign").await?;
    let bob = driver.browser(look).await?;
    bob.go(&demo.console("/approvals")).await?;
    bob.press_words("Bob").await?;
    bob.press_words("look at it and decide").await?;
    bob.says("Your decision").await?;
    take(&bob, folder, name, "decide-short").await?;
    bob.press("button[value=approve]").await?;
    bob.says("What you typed is kept.").await?;
    take(&bob, folder, name, "step-up").await?;
    bob.close().await?;
    carol.go(&demo.console("/nothing-here")).await?;
    take(&carol, folder, name, "failure").await?;
    alice.close().await?;
    carol.close().await?;
    demo.stop().await
}
