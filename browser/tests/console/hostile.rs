//! A script on a guarded page, which its application's authors or an attacker wrote, in the browser of somebody who may approve.

use browser::{BoxError, Look, wanted};
use serde_json::Value;

use crate::World;

/// All that such a script can try: the control API of its own origin and of the console's, the console's form from afar and in a frame, and
/// to read what the form must carry. Answers what came of each.
const ATTACK: &str = r#"
const [id, digest, consoleOrigin, done] = arguments;
const body = JSON.stringify({ decision: "approve", digest, comment: "" });
const fields = new URLSearchParams({ decision: "approve", digest, csrf: digest });
const path = `/requests/${id}/review`;
const attempt = (url, options) => fetch(url, { method: "POST", credentials: "include", ...options })
    .then(async answer => `${answer.status}${answer.type === "opaque" ? "" : await answer.text()}`, String);
const json = { "content-type": "application/json" };
const framed = (name, make) => new Promise(resolve => {
    const frame = document.createElement("iframe");
    frame.name = name;
    frame.onload = () => {
        // As it is before it goes anywhere.
        if (frame.contentDocument && frame.contentDocument.URL === "about:blank") return;
        try { resolve(frame.contentDocument ? `read ${frame.contentDocument.title}` : "not readable"); }
        catch (error) { resolve(String(error)); }
    };
    document.body.append(frame);
    make(frame);
});
Promise.all([
    attempt(`/_jit/v1${path}`, { headers: json, body }),
    attempt(`${consoleOrigin}/_jit/v1${path}`, { headers: json, body }),
    attempt(`${consoleOrigin}/_jit/v1${path}`, { mode: "no-cors", body }),
    attempt(`${consoleOrigin}${path}`, { mode: "no-cors", body: fields }),
    attempt(path, { body: fields }),
    fetch(`${consoleOrigin}/requests/${id}`, { credentials: "include" }).then(() => "read", String),
    framed("page", frame => { frame.src = `${consoleOrigin}/requests/${id}`; }),
    framed("form", () => {
        const form = document.createElement("form");
        Object.assign(form, { method: "post", action: consoleOrigin + path, target: "form" });
        for (const [name, value] of fields) {
            const input = document.createElement("input");
            Object.assign(input, { type: "hidden", name, value });
            form.append(input);
        }
        document.body.append(form);
        form.submit();
    }),
]).then(said => done(said.map(one => one.slice(0, 200))));
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_script_on_a_guarded_page_approves_nothing() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let world = World::new().await?;
    let alice = world.refused("/admin", Look::default()).await?;
    alice.fill("reason", "look into the failed import").await?;
    alice.press_words("Request access").await?;
    alice.says("What is asked for").await?;
    let at = alice.at().await?;
    let id = at.split("/requests/").nth(1).unwrap_or_default();
    let id = id.split('?').next().unwrap_or_default().to_owned();

    // Bob is signed in at the console, and by its hand-off at the guarded origin too.
    let bob = world.signed_in("Bob", Look::default()).await?;
    bob.go(&world.demo.guarded("/staging")).await?;
    bob.fill("reason", "look at the next version").await?;
    bob.press_words("Request access").await?;
    let staging = world.demo.guarded("/staging");
    bob.arrives(|at| at == staging).await?;
    let own = format!("/_jit/v1/requests/{id}");
    let state = async || {
        let request: Value = serde_json::from_str(&bob.fetched(&own, "demo-bob").await?)?;
        Ok::<_, BoxError>((request["state"].clone(), request["digest"].clone()))
    };
    let (_, digest) = state().await?;
    let digest = digest.as_str().unwrap_or_default();
    let console = world.demo.console("");
    let said = bob.awaited(ATTACK, &[&id, digest, &console]).await?;
    println!("{said:#}");
    assert_eq!(said.as_array().map(Vec::len), Some(8), "all was tried: {said}");
    assert!(!said.to_string().contains("\"read"), "{said}");
    assert_eq!(state().await?.0, "pending", "{said}");

    // It was not for want of power.
    bob.go(&world.demo.console(&format!("/requests/{id}"))).await?;
    bob.press("button[value=approve]").await?;
    bob.says("Approvals").await?;
    alice.close().await?;
    bob.close().await?;
    world.demo.stop().await
}
