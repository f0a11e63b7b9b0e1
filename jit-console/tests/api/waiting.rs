//! Long polls. Time is tokio's, paused: it jumps to the next timer when everything waits.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::world::{ADMIN, Answer, World};

#[expect(
    clippy::disallowed_methods,
    reason = "the paused time itself is what is measured"
)]
fn stopwatch() -> Instant {
    Instant::now()
}

fn waiting(world: &Arc<World>, who: &'static str, path: String) -> JoinHandle<Answer> {
    let world = Arc::clone(world);
    tokio::spawn(async move { world.get(who, &path).await })
}

/// Goes on when all others wait for something: time does not move before.
async fn all_wait() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_is_answered_at_once() {
    let world = Arc::new(World::new().await);
    let asked = world.asked("alice", ADMIN).await;
    let began = stopwatch();
    let waiter = waiting(&world, "alice", format!("{}?wait=30s", asked.path()));
    all_wait().await;
    assert!(!waiter.is_finished());
    let review = format!("{}/review", asked.path());
    world.post("bob", &review, &asked.approval()).await.is(200);
    let answer = waiter.await.unwrap();
    assert_eq!(answer.state(), "active");
    assert_eq!(answer.json["version"], 2);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    // What the caller does not have yet is not waited for.
    let began = stopwatch();
    let answer = world
        .get("alice", &format!("{}?wait=30s&version=1", asked.path()))
        .await;
    assert_eq!(answer.json["version"], 2);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_others_write_wakes_nobody() {
    let world = Arc::new(World::new().await);
    let asked = world.asked("alice", ADMIN).await;
    let waiter = waiting(&world, "alice", format!("{}?wait=2s", asked.path()));
    all_wait().await;
    world.asked("frank", ADMIN).await;
    sleep(Duration::from_secs(1)).await;
    assert!(!waiter.is_finished());
    assert_eq!(waiter.await.unwrap().json, asked.json);
}

#[tokio::test(start_paused = true)]
async fn without_a_change_it_ends_with_the_wait() {
    let world = World::new().await;
    let asked = world.asked("alice", ADMIN).await;
    for (wait, seconds) in [("30s", 30), ("60s", 60), ("1m", 60), ("1ms", 0)] {
        let began = stopwatch();
        let answer = world.get("alice", &format!("{}?wait={wait}", asked.path())).await;
        assert_eq!(answer.state(), "pending");
        assert_eq!(answer.json, asked.json);
        assert_eq!(began.elapsed().as_secs(), seconds, "{wait}");
    }
    let began = stopwatch();
    for wait in ["61s", "60001ms", "0s", "-1s", "30", "", "forever", "1h"] {
        let answer = world.get("alice", &format!("{}?wait={wait}", asked.path())).await;
        answer.invalid("wait");
    }
    for version in ["x", "-1", "+1", "9223372036854775808"] {
        let answer = world
            .get("alice", &format!("{}?wait=1s&version={version}", asked.path()))
            .await;
        answer.invalid("version");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_seen_though_nobody_writes_it_down() {
    let world = Arc::new(World::new().await);
    let asked = world.asked("alice", ADMIN).await;
    let before = world.end().await;
    world.advance(3590);
    let waiter = waiting(&world, "alice", format!("{}?wait=60s", asked.path()));
    all_wait().await;
    let began = stopwatch();
    world.advance(10);
    let answer = waiter.await.unwrap();
    assert_eq!(answer.state(), "timed_out");
    assert!(
        began.elapsed() <= Duration::from_secs(11),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(world.end().await, before);
    // What is over is not waited for.
    let began = stopwatch();
    world
        .get("alice", &format!("{}?wait=60s", asked.path()))
        .await
        .is(200);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_loses_sight_while_waiting_is_told_nothing() {
    for change in [true, false] {
        let world = Arc::new(World::new().await);
        let asked = world.asked("alice", ADMIN).await;
        let waiter = waiting(&world, "bob", format!("{}?wait=30s", asked.path()));
        all_wait().await;
        world.remove_role("sre-lead");
        if change {
            let path = format!("{}/withdraw", asked.path());
            world.post("alice", &path, &json!({})).await.is(200);
        }
        waiter.await.unwrap().problem(404, "not-found");
    }
    let world = Arc::new(World::new().await);
    let asked = world.asked("alice", ADMIN).await;
    let waiter = waiting(&world, "bob", format!("{}?wait=30s", asked.path()));
    all_wait().await;
    world.disable("bob");
    waiter.await.unwrap().problem(403, "not-eligible");
}

#[tokio::test(start_paused = true)]
async fn places_are_few_and_given_back() {
    let world = Arc::new(World::new().await);
    let asked = world.asked("alice", ADMIN).await;
    let path = format!("{}?wait=30s", asked.path());
    let mut waiters: Vec<_> = (0..16).map(|_| waiting(&world, "alice", path.clone())).collect();
    all_wait().await;
    let began = stopwatch();
    let one_too_many = world.get("alice", &path).await;
    one_too_many.problem(429, "limit-reached");
    assert_eq!(one_too_many.header("retry-after"), Some("1"));
    assert_eq!(began.elapsed(), Duration::ZERO);
    // Others have places of their own, and reading needs none.
    let other = waiting(&world, "bob", path.clone());
    world.get("alice", &asked.path()).await.is(200);
    // A client that goes away gives its place back.
    waiters.pop().unwrap().abort();
    all_wait().await;
    waiters.push(waiting(&world, "alice", path.clone()));
    for waiter in waiters.into_iter().chain([other]) {
        waiter.await.unwrap().is(200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_glass_is_waited_on_until_it_is_reviewed() {
    let world = Arc::new(World::new().await);
    let body = ADMIN.with(json!({"break_glass": true}));
    let broken = world.post("erin-mfa", "/v1/requests", &body).await;
    broken.is(201);
    world
        .post("erin", &format!("{}/release", broken.path()), &json!({}))
        .await
        .is(200);
    let waiter = waiting(&world, "erin", format!("{}?wait=30s", broken.path()));
    all_wait().await;
    assert!(!waiter.is_finished());
    let finding = json!({"finding": "justified"});
    world
        .post("bob", &format!("{}/after-review", broken.path()), &finding)
        .await
        .is(200);
    let answer = waiter.await.unwrap();
    assert_eq!(answer.json["break_glass"]["reviewed"], true);
}
