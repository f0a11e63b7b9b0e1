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

/// What is open, for whom it is and for whom may end it, with names and reasons as long as people make them; and a lockdown.
async fn open_access(
    demo: &Running,
    alice: &Window,
    carol: &Window,
    folder: &Path,
    name: &str,
) -> Result<(), BoxError> {
    alice.go(&demo.console("/ask")).await?;
    take(alice, folder, name, "choose").await?;
    alice.go(&demo.console("/ask?resource=admin")).await?;
    let long = "The import of https://reports.example.com/2026/11/parcels-without-a-depot.csv?since=2026-11-01T00:00:00Z stops at \
                row 41,207, and the counters in the north can't hand anything out until somebody has looked at who may see it.";
    alice.fill("reason", long).await?;
    alice.fill("duration", "a while").await?;
    alice.press_words("Request access").await?;
    alice.says("This must read like").await?;
    take(alice, folder, name, "ask-wrong").await?;
    alice.fill("duration", "90s").await?;
    alice.press_words("Request access").await?;
    alice.says("What is asked for").await?;
    for page in ["requests", "policies", "approvals"] {
        alice.go(&demo.console(&format!("/{page}"))).await?;
        take(alice, folder, name, &format!("{page}-alice")).await?;
    }
    alice.go(&demo.console("/requests")).await?;
    alice.press_words("Active").await?;
    alice.says("Give it back").await?;
    take(alice, folder, name, "my-grant").await?;
    carol.go(&demo.console("/approvals")).await?;
    take(carol, folder, name, "approvals-long").await?;
    carol.go(&demo.console("/grants")).await?;
    carol.press_words("Look at it, or end it").await?;
    carol.says("End access").await?;
    take(carol, folder, name, "end").await?;
    carol.press_words("What was done under it").await?;
    carol.says("What was done").await?;
    take(carol, folder, name, "done").await?;
    carol.go(&demo.console("/lockdowns")).await?;
    carol.fill("reason", "the office in the north is closed").await?;
    carol
        .script("document.getElementById('kind').value = 'resource'")
        .await?;
    carol.fill("name", "staging").await?;
    carol.press_words("Lock down").await?;
    carol.says("Lift it").await?;
    take(carol, folder, name, "lockdown").await?;
    Ok(())
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
    open_access(&demo, &alice, &carol, folder, name).await?;
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
