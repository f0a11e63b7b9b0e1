//! What holds of the enforcer and the sessions in whatever order their threads run: each test runs its threads under a scheduler that picks
//! the order, over and over. `cargo xtask schedules` builds and runs them; `sync.rs` says what they do not see.
//!
//! Every one states what holds from when a call has returned, the present time being given. A failure prints its schedule, which
//! `--replay` runs again. For that nothing that a thread does may depend on anything but the schedule.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use http::request::Parts;
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::sync::Barrier;
use shuttle::{Config, Runner};

use crate::approval::lockdown::{self, Lockdown};
use crate::approval::request::Request;
use crate::approval::state::State;
use crate::broker::directory::Person;
use crate::gate::authenticate::Subject;
use crate::gate::cut::Cut;
use crate::gate::enforcer::{Answer, Asker, Enforcer, EnforcerSettings, Standing};
use crate::gate::fixtures::{
    ANA, active, active_with, at, grant_id, in_state, person, resource, scope, seconds, subject,
};
use crate::gate::sync::thread_local;
use crate::gate::target::Target;
use crate::id::{LockdownId, PersonId, Timestamp};
use crate::policy::terms::ResourceDef;

mod bearers;
mod checks;
mod limits;
mod lockdowns;
mod sessions;
mod sweeps;
mod versions;

/// How many schedules each test runs.
const SCHEDULES: &str = "JIT_SCHEDULES";
/// The one schedule to run instead, as a failure printed it.
const REPLAY: &str = "JIT_SCHEDULE";
/// How many without either.
const FEW: usize = 400;
/// A thread's stack: that of shuttle's own choice is too short for a check that is not optimised.
const STACK: usize = 0x4_0000;

/// Runs `scenario` in half as many random orders as were asked for, and in as many that change the running thread at few, random points
/// (Burckhardt and others, 2010): those find what takes a thread that stands still for long.
fn explore(what: &str, scenario: impl Fn() + Send + Sync + Clone + 'static) {
    if let Ok(schedule) = std::env::var(REPLAY) {
        run(ReplayScheduler::new_from_encoded(&schedule), scenario);
        return;
    }
    let asked = std::env::var(SCHEDULES).map_or(FEW, |count| count.parse().unwrap());
    let quarter = asked.div_ceil(4);
    let ran = run(RandomScheduler::new(2 * quarter), scenario.clone())
        + run(PctScheduler::new(3, quarter), scenario.clone())
        + run(PctScheduler::new(6, quarter), scenario);
    println!("{ran} schedules of {what}");
    assert!(ran >= asked, "{ran} of {asked}");
}

fn run(scheduler: impl Scheduler + 'static, scenario: impl Fn() + Send + Sync + 'static) -> usize {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(scenario)
}

/// That a call has returned. No order is explored between the call and its noting.
#[derive(Debug, Default)]
struct Returned(AtomicBool);

impl Returned {
    fn note(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn yet(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

thread_local! {
    /// What a thread knows of what each person holds.
    static STANDINGS: RefCell<BTreeMap<PersonId, Standing>> = RefCell::default();
}

/// Somebody who asks for a page of the resource `admin`.
#[derive(Debug, Clone)]
struct Asks {
    subject: Subject,
    person: Person,
    governing: ResourceDef,
    head: Parts,
}

impl Asks {
    fn of(id: &str, path: &str) -> Self {
        let request = http::Request::builder().uri(path).header("host", "app.example");
        Self {
            subject: subject(&format!("local|{id}")),
            person: person(id),
            governing: resource("admin", "/admin"),
            head: request.body(()).unwrap().into_parts().0,
        }
    }

    fn ask(&self, enforcer: &Enforcer, now: Timestamp) -> Answer {
        let target = Target::read(&self.head).unwrap();
        let (hash, id) = (enforcer.hash(&self.subject.principal), &self.person.id);
        let known = STANDINGS.with(|standings| standings.borrow().get(id).cloned());
        let asker = Asker {
            subject: &self.subject,
            hash,
            person: &self.person,
            standing: known.as_ref(),
            bearer: None,
            counts_bytes: false,
        };
        let answer = enforcer.check_knowing(&asker, &self.governing, &target, &Method::GET, now);
        let present = known.is_some_and(|known| enforcer.is_present(&known, hash));
        if let (Answer::Admit(_), false) = (&answer, present)
            && let Some(now) = enforcer.standing(&self.subject, hash, &self.person)
        {
            STANDINGS.with(|standings| standings.borrow_mut().insert(id.clone(), now.copy()));
        }
        answer
    }

    fn gets_in(&self, enforcer: &Enforcer, now: Timestamp) -> bool {
        matches!(self.ask(enforcer, now), Answer::Admit(_))
    }

    /// Asks so often that this thread knows what they hold: from the first time on, unless it changes meanwhile.
    fn warm(&self, enforcer: &Enforcer, now: Timestamp) {
        for _ in 0..2 {
            self.gets_in(enforcer, now);
        }
    }
}

fn ana() -> Asks {
    Asks::of("ana", "/admin/users")
}

fn bo() -> Asks {
    Asks::of("bo", "/admin/users")
}

/// Knows of nothing, and is not stale before 300 s.
fn enforcer() -> Enforcer {
    let settings = EnforcerSettings::default()
        .with_stale_after(seconds(300))
        .unwrap();
    let enforcer = Enforcer::new(settings);
    enforcer.synced(at(0));
    enforcer
}

/// A grant of Bo's.
fn of_bo(n: u128) -> Request {
    active_with(n, |grant| {
        grant.holder = "local|bo".parse().unwrap();
        grant.person = "bo".parse().unwrap();
    })
}
