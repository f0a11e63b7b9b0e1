//! Pages that stand open stay true, and leave alone what their reader does with them.

use browser::{BoxError, Look, Window, wanted};
use serde_json::{Value, json};

use crate::World;

/// Written into a page: as long as it is there, the page was not loaded again.
const MARK: &str = "window.mark = 'here'";

/// Whether it is there still, what has the focus, where on the screen that is, and how far down the page is.
async fn stands(window: &Window) -> Result<Value, BoxError> {
    let said = "const it = document.activeElement;
        return [window.mark, it.id, Math.round(it.getBoundingClientRect().top), Math.round(scrollY)]";
    window.script(said).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_approver_types_outlives_a_change() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let world = World::new().await?;
    let alice = world.refused("/admin/users?page=2", Look::default()).await?;
    alice.fill("reason", "look into the failed import").await?;
    alice.press_words("Request access").await?;
    alice.says("What is asked for").await?;
    let request = alice.at().await?;
    let request = request.split('?').next().unwrap_or_default().to_owned();

    let phone = Look {
        phone: true,
        ..Look::default()
    };
    let bob = world.signed_in("Bob", phone).await?;
    bob.go(&request).await?;
    bob.says("Your decision").await?;
    bob.fill("comment", "half a senten").await?;
    bob.script(MARK).await?;
    let before = stands(&bob).await?;
    assert_eq!(before[1], "comment");
    assert!(before[3].as_i64() > Some(100), "{before}");

    let carol = world.signed_in("Carol", Look::default()).await?;
    carol.go(&request).await?;
    carol.press("button[value=approve]").await?;
    carol.says("Approvals").await?;
    bob.says("It is open, and ends at").await?;
    bob.says("This has changed since the form below was shown.")
        .await?;
    bob.says("Carol").await?;
    let typed = "return document.getElementById('comment').value";
    assert_eq!(bob.script(typed).await?, "half a senten");
    // What is new above makes the page longer; the field stays where it was on the screen.
    let after = stands(&bob).await?;
    assert_ne!(after[3], before[3], "{after}");
    assert_eq!((&after[0], &after[1]), (&before[0], &before[1]));
    // Pages scroll by whole pixels, and what stands between two of them is drawn at one or the other.
    let moved = after[2].as_i64().zip(before[2].as_i64());
    let moved = moved.map(|(after, before)| after.abs_diff(before));
    assert!(moved.is_some_and(|moved| moved <= 1), "{before} {after}");
    // Sent all the same, it decides nothing.
    bob.press("button[value=deny]").await?;
    bob.says("The request's state does not allow that").await?;
    for window in [alice, bob, carol] {
        window.close().await?;
    }
    world.demo.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_grows_without_moving_its_reader() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let world = World::new().await?;
    let first = world.asks_for_payroll().await?;
    let id = first.rsplit('/').next().unwrap_or_default().to_owned();
    let bob = world.signed_in("Bob", Look::default()).await?;
    bob.go(&world.demo.console("/approvals")).await?;
    bob.says("somebody was not paid").await?;
    bob.script(&format!("{MARK}; document.getElementById('{id}').focus()"))
        .await?;
    let alice = world.refused("/admin", Look::default()).await?;
    alice.fill("reason", "look into the failed import").await?;
    alice.press_words("Request access").await?;
    bob.says("look into the failed import").await?;
    let after = stands(&bob).await?;
    assert_eq!(
        (&after[0], &after[1], &after[3]),
        (&json!("here"), &json!(id), &json!(0))
    );
    alice.press_words("Take it back").await?;
    alice.says("took it back").await?;
    // And shrinks.
    bob.lacks("look into the failed import").await?;
    let after = stands(&bob).await?;
    assert_eq!(
        (&after[0], &after[1], &after[3]),
        (&json!("here"), &json!(id), &json!(0))
    );
    alice.close().await?;
    bob.close().await?;
    world.demo.stop().await
}

/// By the server's clock, whatever the reader's shows; and at the end the page says so, without being loaded again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_counted_down_by_the_servers_clock() -> Result<(), BoxError> {
    if !wanted() {
        return Ok(());
    }
    let world = World::new().await?;
    let alice = world.signed_in("Alice", Look::default()).await?;
    alice.clock_ahead(3600).await?;
    alice.go(&world.demo.console("/ask?resource=staging")).await?;
    alice.fill("reason", "look at the next version").await?;
    alice.fill("duration", "6s").await?;
    alice.press_words("Request access").await?;
    alice.says("It is open, and ends at").await?;
    alice.script(MARK).await?;
    for left in ["3 s left", "1 s left"] {
        alice.says(left).await?;
    }
    alice.says("Its time is over").await?;
    assert_eq!(stands(&alice).await?[0], "here");
    alice.close().await?;
    world.demo.stop().await
}
