//! What hostile timing, hostile chains and failing stores must not bring about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use jit_core::approval::ask::Ask;
use jit_core::approval::audit::Tail;
use jit_core::approval::event::Finding;
use jit_core::approval::lockdown::Target;
use jit_core::approval::person::Limits;
use jit_core::approval::refused::Refused;
use jit_core::approval::request::Request;
use jit_core::approval::review::{Decision, Opinion};
use jit_core::approval::state::State;
use jit_core::broker::store::{
    Batch, Cell, Position, Put, Query, Record, Snapshot, Store, StoreError, StreamId,
};
use jit_core::broker::{Broker, Filter, Rejection};
use jit_core::gate::enforcer::{Enforcer, EnforcerSettings};
use jit_core::gate::refusal::Refusal;
use jit_core::memory::MemoryStore;
use serde_json::json;
use tokio::sync::Notify;

use crate::rig::{POLICY, Rig, people, policy, refused};

/// A store in memory that stops, fails or loses where a test says so.
#[derive(Debug, Default)]
struct Tricky {
    inner: MemoryStore,
    /// The next append stops before it writes, tells `reached`, and waits for `go`.
    hold: AtomicBool,
    reached: Notify,
    go: Notify,
    /// Every append finds that someone else was faster.
    conflicts: AtomicBool,
    loads_fail: AtomicBool,
    cells: AtomicUsize,
}

#[async_trait]
impl Store for Tricky {
    async fn append(&self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        if self.conflicts.load(Ordering::SeqCst) {
            StoreError::check_version("a stream", 0, 1)?;
        }
        if self.hold.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.go.notified().await;
        }
        self.inner.append(batch).await
    }
    async fn load(&self, stream: &StreamId) -> Result<Option<Snapshot>, StoreError> {
        if self.loads_fail.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("the disk is gone"));
        }
        self.inner.load(stream).await
    }
    async fn find(&self, query: &Query) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.find(query).await
    }
    async fn live(&self, after: Position, limit: usize) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.live(after, limit).await
    }
    async fn feed(&self, after: Position, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.inner.feed(after, limit).await
    }
    async fn tail(&self) -> Result<Tail, StoreError> {
        self.inner.tail().await
    }
    async fn cell(&self, name: &str, put: Option<Put>) -> Result<Cell, StoreError> {
        self.cells.fetch_add(1, Ordering::SeqCst);
        self.inner.cell(name, put).await
    }
}

async fn tricky(source: &str) -> (Rig, Arc<Tricky>) {
    let store = Arc::new(Tricky::default());
    let mut limits = Limits::default();
    limits.burst = 1_000_000;
    let rig = Rig::with(store.clone(), tempfile::tempdir().unwrap(), source, limits).await;
    (rig, store)
}

const STAGES: &str = r#"stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]"#;

fn automatic() -> String {
    POLICY.replace(STAGES, r#"approval = "automatic""#)
}

/// Another process has granted what this one has not heard of when it locks down and lifts: that is killed as well.
#[tokio::test]
async fn a_lockdown_kills_what_this_process_has_not_heard_of() {
    let (rig, store) = tricky(POLICY).await;
    let other = Broker::builder(store, rig.people.clone(), policy(POLICY))
        .clock(rig.clock.clone())
        .build()
        .await
        .unwrap();
    let ask: Ask = serde_json::from_value(json!({ "resource": "admin", "reason": "INC-42" })).unwrap();
    let asked = other
        .ask(&rig.actor("alice").await, ask, None)
        .await
        .unwrap()
        .view
        .request;
    let opinion = Opinion {
        decision: Decision::Approve,
        digest: asked.digest,
        comment: String::new(),
        narrowing: jit_core::approval::review::Narrowing::default(),
    };
    other
        .review(&rig.actor("bob").await, asked.id, opinion)
        .await
        .unwrap();

    let carol = rig.actor("carol").await;
    let target = Target::Resource("admin".parse().unwrap());
    let lockdown = rig.broker.lock_down(&carol, target, "leak").await.unwrap();
    rig.broker.lift(&carol, lockdown.id, "rotated").await.unwrap();
    rig.broker.follow().await.unwrap();
    assert_eq!(rig.state(asked.id).await, State::Revoked);
    assert!(!rig.admits("alice", "/admin").await);
}

/// What was ruled on by the old policy is not written under the new one.
#[tokio::test]
async fn an_asking_does_not_slip_past_a_policy_change() {
    let (rig, store) = tricky(&automatic()).await;
    store.hold.store(true, Ordering::SeqCst);
    let new = POLICY.replace(
        r#"requesters = { roles = ["sre"] }"#,
        r#"requesters = { roles = ["nobody"] }"#,
    );
    let (asked, ()) = tokio::join!(rig.ask("alice", json!({})), async {
        store.reached.notified().await;
        rig.broker.set_policy(policy(&new)).await.unwrap();
        store.go.notify_one();
    });
    assert!(matches!(refused(asked), Refused::NotEligible));
    assert!(!rig.admits("alice", "/admin").await);
}

/// However long a chain of extensions is, revoking its first grant ends all of it.
#[tokio::test]
async fn revoking_a_parent_kills_the_longest_chain() {
    let (rig, _) = tricky(&automatic()).await;
    let mut chain = vec![rig.asked("alice").await];
    for _ in 0..50 {
        let more = json!({ "extends": chain.last().unwrap().id, "duration": "1m" });
        chain.push(rig.ask("alice", more).await.unwrap().request);
    }
    let first = chain.first().unwrap().id;
    rig.broker
        .revoke(&rig.actor("carol").await, first, "leak")
        .await
        .unwrap();
    for (depth, grant) in chain.iter().enumerate() {
        assert_eq!(rig.state(grant.id).await, State::Revoked, "extension {depth}");
    }
}

/// An extension stands in its parent's place while the parent holds one, and takes it over afterwards.
#[tokio::test]
async fn an_extension_takes_over_its_parents_place() {
    let capped = format!("{}\nlimits = {{ active_per_person = 1 }}\n", automatic());
    let (rig, _) = tricky(&capped).await;
    let parent = rig.asked("alice").await;
    let child = rig
        .ask("alice", json!({ "extends": parent.id }))
        .await
        .unwrap()
        .request;
    rig.advance("31m").await;
    rig.broker.sweep().await.unwrap();
    assert_eq!(rig.state(parent.id).await, State::Expired);
    assert_eq!(rig.state(child.id).await, State::Active);
    let second = refused(rig.ask("alice", json!({})).await);
    assert!(matches!(second, Refused::LimitReached { .. }), "{second:?}");
}

/// A caller that hangs up while a revocation is being written does not undo it.
#[tokio::test]
async fn a_revocation_outlives_its_caller() {
    let (rig, store) = tricky(POLICY).await;
    let request = rig.granted(json!({})).await;
    let carol = rig.actor("carol").await;
    store.hold.store(true, Ordering::SeqCst);
    tokio::select! {
        biased;
        view = rig.broker.revoke(&carol, request.id, "leak") => panic!("written: {view:?}"),
        () = store.reached.notified() => {}
    }
    assert!(!rig.admits("alice", "/admin").await);
    rig.broker.sweep().await.unwrap();
    assert_eq!(rig.state(request.id).await, State::Revoked);
}

/// A revocation that lost against others for too long is written later.
#[tokio::test]
async fn a_revocation_that_never_got_through_is_owed() {
    let (rig, store) = tricky(POLICY).await;
    let request = rig.granted(json!({})).await;
    store.conflicts.store(true, Ordering::SeqCst);
    let outcome = rig
        .broker
        .revoke(&rig.actor("carol").await, request.id, "leak")
        .await;
    assert!(matches!(outcome, Err(Rejection::Store(_))), "{outcome:?}");
    store.conflicts.store(false, Ordering::SeqCst);
    rig.broker.sweep().await.unwrap();
    assert_eq!(rig.state(request.id).await, State::Revoked);
}

/// A store that can't even be read does not keep a lockdown from shutting this gate.
#[tokio::test]
async fn a_lockdown_shuts_the_gate_before_it_reads() {
    let (rig, store) = tricky(POLICY).await;
    rig.granted(json!({})).await;
    assert!(rig.admits("alice", "/admin").await);
    let carol = rig.actor("carol").await;
    store.loads_fail.store(true, Ordering::SeqCst);
    let outcome = rig.broker.lock_down(&carol, Target::All, "leak").await;
    assert!(matches!(outcome, Err(Rejection::Store(_))), "{outcome:?}");
    assert!(matches!(
        rig.knock("alice", "GET", "/admin").await,
        Err(Refusal::LockedDown)
    ));
}

async fn lock(rig: &Rig, by: &str, person: &str) {
    let target = Target::Person(person.parse().unwrap());
    rig.broker
        .lock_down(&rig.actor(by).await, target, "phished")
        .await
        .unwrap();
}

/// The approval of someone who is locked down by the time it would count does not count.
#[tokio::test]
async fn a_locked_reviewers_approval_does_not_count() {
    let two = POLICY.replace(
        r#"roles = ["sre-lead"] }"#,
        r#"roles = ["sre-lead"] }, quorum = 2"#,
    );
    let (rig, _) = tricky(&two).await;
    let request = rig.asked("alice").await;
    rig.approve("bob", &request).await.unwrap();
    lock(&rig, "carol", "bob").await;
    let view = rig.approve("dave", &request).await.unwrap();
    assert_eq!(view.request.state, State::Pending);
    assert!(!rig.admits("alice", "/admin").await);
}

/// Locked people settle nobody's debt and lift no lockdown, not even one that does not lock them.
#[tokio::test]
async fn locked_people_settle_and_lift_nothing() {
    let source = format!(
        "{POLICY}\nbreak_glass = {{ requesters = {{ roles = [\"sre\"] }}, max = \"30m\", mfa = {{ required = false }} }}\n"
    );
    let (rig, _) = tricky(&source).await;
    let request = rig
        .ask("alice", json!({ "break_glass": true }))
        .await
        .unwrap()
        .request;
    lock(&rig, "carol", "bob").await;
    let bob = rig.actor("bob").await;
    let found = rig
        .broker
        .after_review(&bob, request.id, Finding::Justified, "")
        .await;
    assert!(matches!(refused(found), Refused::LockedDown { .. }));

    let carol = rig.actor("carol").await;
    let target = Target::Resource("admin".parse().unwrap());
    let other = rig.broker.lock_down(&carol, target, "incident").await.unwrap();
    lock(&rig, "carol", "carol").await;
    let lifted = rig.broker.lift(&carol, other.id, "it is fine").await;
    assert!(matches!(refused(lifted), Refused::NotEligible));
}

/// A policy that lowers what a chain may last is asked of extensions that wait and of those that were granted.
#[tokio::test]
async fn a_lowered_max_total_reaches_extensions() {
    let (rig, _) = tricky(POLICY).await;
    let lowered = POLICY.replace(
        r#"max = "4h", max_total = "8h""#,
        r#"max = "2h", max_total = "2h""#,
    );
    let parent = rig.granted(json!({})).await;
    let pending = rig
        .ask("alice", json!({ "extends": parent.id, "duration": "2h" }))
        .await
        .unwrap()
        .request;
    rig.broker.set_policy(policy(&lowered)).await.unwrap();
    assert_eq!(rig.state(pending.id).await, State::Denied);

    rig.broker.set_policy(policy(POLICY)).await.unwrap();
    let granted = rig
        .ask("alice", json!({ "extends": parent.id, "duration": "2h" }))
        .await
        .unwrap()
        .request;
    rig.approve("bob", &granted).await.unwrap();
    rig.broker.set_policy(policy(&lowered)).await.unwrap();
    let begins = parent.grant.unwrap().not_before;
    let ends = rig.seen(granted.id).await.grant.unwrap().not_after;
    assert_eq!(ends.signed_duration_since(begins), chrono::TimeDelta::hours(2));
}

/// A stranger's listing asks the store nothing about what the stranger may not see.
#[tokio::test]
async fn a_listing_reads_no_cells_for_what_it_does_not_show() {
    let idle = format!("{POLICY}\nidle_timeout = \"10m\"\n");
    let (rig, store) = tricky(&idle).await;
    rig.granted(json!({})).await;
    let mallory = rig.actor("mallory").await;
    let before = store.cells.load(Ordering::SeqCst);
    let listing = rig.broker.list(&mallory, &Filter::default()).await.unwrap();
    assert!(listing.items.is_empty());
    assert_eq!(store.cells.load(Ordering::SeqCst), before);
}

/// Someone whom the Directory has given another id is still the one who broke the glass.
#[tokio::test]
async fn a_new_name_settles_no_debt_of_ones_own() {
    let source = format!(
        "{POLICY}\nbreak_glass = {{ requesters = {{ roles = [\"sre-lead\"] }}, max = \"30m\", mfa = {{ required = false }} }}\n"
    )
    .replace(r#"requesters = { roles = ["sre"] }"#, r#"requesters = { roles = ["sre-lead"] }"#);
    let (rig, _) = tricky(&source).await;
    let request: Request = rig
        .ask("carol", json!({ "break_glass": true }))
        .await
        .unwrap()
        .request;
    people(&rig, |text| {
        text.replace("name = \"carol\"", "name = \"carol smith\"")
    });
    let renamed = rig.actor("carol").await;
    let found = rig
        .broker
        .after_review(&renamed, request.id, Finding::Justified, "")
        .await;
    assert!(matches!(refused(found), Refused::SelfReview));
}

/// What was admitted before a policy change shortened its grant holds no longer than what is admitted after it.
#[tokio::test]
async fn a_permit_ends_with_its_shortened_grant() {
    let (rig, _) = tricky(POLICY).await;
    rig.granted(json!({})).await;
    let permit = rig.knock("alice", "GET", "/admin").await.unwrap();
    let shorter = POLICY.replace(
        r#"default = "30m", max = "4h""#,
        r#"default = "10m", max = "10m""#,
    );
    rig.broker.set_policy(policy(&shorter)).await.unwrap();
    rig.advance("9m").await;
    assert!(permit.holds(rig.now()));
    rig.advance("1m").await;
    assert!(!rig.admits("alice", "/admin").await);
    assert!(!permit.holds(rig.now()));
}

/// A lockdown that shut this gate is written in the end, whether its caller hung up or the store failed: only then can it be lifted.
#[tokio::test]
async fn a_lockdown_outlives_its_caller_and_the_stores_failure() {
    for hangs_up in [true, false] {
        let (rig, store) = tricky(POLICY).await;
        let request = rig.granted(json!({})).await;
        let carol = rig.actor("carol").await;
        let target = Target::Resource("admin".parse().unwrap());
        if hangs_up {
            store.hold.store(true, Ordering::SeqCst);
            tokio::select! {
                biased;
                done = rig.broker.lock_down(&carol, target, "leak") => panic!("written: {done:?}"),
                () = store.reached.notified() => {}
            }
        } else {
            store.loads_fail.store(true, Ordering::SeqCst);
            rig.broker.lock_down(&carol, target, "leak").await.unwrap_err();
            rig.broker.sweep().await.unwrap_err();
            store.loads_fail.store(false, Ordering::SeqCst);
        }
        rig.broker.sweep().await.unwrap();
        assert_eq!(rig.state(request.id).await, State::Revoked);
        let in_force = rig.broker.lockdowns(&carol).await.unwrap();
        let [lockdown] = in_force.as_slice() else {
            panic!("{in_force:?}")
        };
        rig.broker.lift(&carol, lockdown.id, "rotated").await.unwrap();
        assert!(!matches!(
            rig.knock("alice", "GET", "/admin").await,
            Err(Refusal::LockedDown)
        ));
    }
}

/// A grant that is used at another gate does not lie idle at this one.
#[tokio::test]
async fn a_use_at_another_gate_keeps_a_grant_open_here() {
    let idle = format!("{POLICY}\nidle_timeout = \"10m\"\n");
    let (rig, store) = tricky(&idle).await;
    let request = rig.granted(json!({})).await;
    assert!(rig.admits("alice", "/admin").await);
    rig.broker.sweep().await.unwrap();
    rig.advance("5m").await;
    let name = format!("use/{}", jit_core::id::GrantId::from(request.id));
    let cell = store.cell(&name, None).await.unwrap();
    let put = Put {
        expected: cell.version,
        value: rig.now().timestamp_millis().to_string(),
    };
    store.cell(&name, Some(put)).await.unwrap();
    rig.advance("6m").await;
    rig.broker.sweep().await.unwrap();
    assert_eq!(rig.state(request.id).await, State::Active);
    assert!(rig.admits("alice", "/admin").await);
}

/// A gate that stands already admits nothing by what a restarted broker has read and not yet held against its policy.
#[tokio::test]
async fn nothing_is_admitted_before_the_policy_was_asked() {
    let (rig, store) = tricky(POLICY).await;
    let request = rig.granted(json!({})).await;
    let enforcer = Arc::new(Enforcer::new(EnforcerSettings::default()));
    let new = POLICY.replace(
        r#"requesters = { roles = ["sre"] }"#,
        r#"requesters = { roles = ["nobody"] }"#,
    );
    store.hold.store(true, Ordering::SeqCst);
    let build = Broker::builder(store.clone(), rig.people.clone(), policy(&new))
        .clock(rig.clock.clone())
        .enforcer(enforcer.clone())
        .build();
    let (built, ()) = tokio::join!(build, async {
        store.reached.notified().await;
        assert!(enforcer.is_stale(rig.now()));
        store.go.notify_one();
    });
    built.unwrap();
    assert!(!enforcer.is_stale(rig.now()));
    assert_eq!(rig.state(request.id).await, State::Revoked);
}
