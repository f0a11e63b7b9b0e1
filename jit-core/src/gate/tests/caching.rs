//! What is remembered never changes a decision: a gate that remembers beside one that has just been put together.

use proptest::prelude::*;

use super::*;
use crate::approval::state::State;
use crate::gate::cut::Cut;
use crate::gate::fixtures::{in_state, scope};

const BO: &str = "local|bo";
const TOKENS: [(&str, &str); 3] = [("ana", ANA), ("ana-2", ANA), ("bo", BO)];

/// What can happen to a gate.
#[derive(Debug, Clone)]
enum Step {
    /// A request with one of the tokens for one of the paths, that often: a thread makes copies of what comes again.
    Ask {
        token: usize,
        path: usize,
        times: usize,
    },
    /// A new version of a grant.
    Publish {
        grant: usize,
        what: What,
    },
    Shut {
        grant: usize,
    },
    Lock {
        target: usize,
    },
    Lift,
    /// Exactly these tokens are known from now on.
    Tokens {
        known: [bool; 3],
    },
    /// The Directory says something else of a person from now on.
    Person {
        who: usize,
        as_what: As,
    },
    Forget,
    Pass {
        seconds: i64,
    },
}

#[derive(Debug, Clone, Copy)]
enum What {
    Active,
    Narrowed,
    Shortened,
    Another,
    Scheduled,
    Revoked,
}

#[derive(Debug, Clone, Copy)]
enum As {
    Usual,
    Gone,
    Disabled,
    Locked,
    Another,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        3 => Just(What::Active),
        1 => Just(What::Narrowed),
        1 => Just(What::Shortened),
        1 => Just(What::Another),
        1 => Just(What::Scheduled),
        1 => Just(What::Revoked),
    ];
    let as_what = prop_oneof![
        3 => Just(As::Usual),
        1 => Just(As::Gone),
        1 => Just(As::Disabled),
        1 => Just(As::Locked),
        1 => Just(As::Another),
    ];
    prop_oneof![
        10 => (0..3usize, 0..2usize, 1..4usize)
            .prop_map(|(token, path, times)| Step::Ask { token, path, times }),
        4 => (0..12usize, what).prop_map(|(grant, what)| Step::Publish { grant, what }),
        1 => (0..12usize).prop_map(|grant| Step::Shut { grant }),
        1 => (0..3usize).prop_map(|target| Step::Lock { target }),
        1 => Just(Step::Lift),
        2 => any::<[bool; 3]>().prop_map(|known| Step::Tokens { known }),
        2 => (0..2usize, as_what).prop_map(|(who, as_what)| Step::Person { who, as_what }),
        1 => Just(Step::Forget),
        3 => (1..40i64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// The persons whom the Directory knows.
type People = Vec<(Principal, Person)>;

fn request(grant: usize, version: u64, what: What) -> Request {
    let number = grant as u128 + 1;
    let mut request = match what {
        What::Scheduled => in_state(number, State::Scheduled),
        What::Revoked => in_state(number, State::Revoked),
        _ => active(number),
    };
    let holder = if grant.is_multiple_of(3) { BO } else { ANA };
    let who: &str = if grant.is_multiple_of(3) { "bo" } else { "ana" };
    if let Some(grant) = &mut request.grant {
        grant.holder = holder.parse().unwrap();
        grant.person = who.parse().unwrap();
        grant.not_after = at(1000 + i64::try_from(version % 7).unwrap());
        match what {
            What::Narrowed => grant.scope = scope(["GET"], ["/admin/a"]),
            What::Shortened => grant.not_after = at(50),
            What::Another => grant.person = "another".parse().unwrap(),
            _ => {}
        }
    }
    request.requester.principal = holder.parse().unwrap();
    request
}

fn lockdown(target: usize) -> Lockdown {
    Lockdown {
        id: LockdownId::from_u128(target as u128),
        target: match target {
            0 => lockdown::Target::Person("ana".parse().unwrap()),
            1 => lockdown::Target::Role("locked".parse().unwrap()),
            _ => lockdown::Target::Resource("admin".parse().unwrap()),
        },
        reason: String::new(),
        principal: "local|boss".parse().unwrap(),
        person: "boss".parse().unwrap(),
        at: at(0),
    }
}

/// What was done to an enforcer, in order.
#[derive(Debug, Clone)]
enum Deed {
    Publish(u64, Box<Request>),
    Shut(GrantId),
    Lock(Lockdown),
    Lockdowns(u64, Vec<Lockdown>),
}

fn enforcer() -> Enforcer {
    let stale_after = seconds(300);
    let settings = EnforcerSettings::default().with_stale_after(stale_after).unwrap();
    Enforcer::new(settings)
}

impl Deed {
    fn to(&self, enforcer: &Enforcer) {
        match self {
            Self::Publish(version, request) => enforcer.publish(*version, request),
            Self::Shut(grant) => enforcer.shut(*grant, Cut::Revoked),
            Self::Lock(lockdown) => enforcer.lock(lockdown),
            Self::Lockdowns(version, all) => enforcer.set_lockdowns(*version, all),
        }
    }
}

/// A gate that remembers, and everything that one without a memory is put together from.
struct Pair {
    world: World,
    deeds: Vec<Deed>,
    now: i64,
    /// What the Directory has said since, and when that ended; the last is the present.
    said: Vec<(People, Option<i64>)>,
    locked: Vec<Lockdown>,
}

impl Pair {
    fn new() -> Self {
        let world = world();
        world.gate.enforcer().synced(at(1));
        let pair = Self {
            world,
            deeds: Vec::new(),
            now: 1,
            said: vec![(Vec::new(), None)],
            locked: Vec::new(),
        };
        let usual = vec![
            (ANA.parse().unwrap(), person("ana")),
            (BO.parse().unwrap(), person("bo")),
        ];
        pair.tell(usual)
    }

    fn tell(mut self, people: People) -> Self {
        self.say(people);
        self.said.remove(0);
        self.know([true; 3]);
        self
    }

    fn know(&self, known: [bool; 3]) {
        let tokens = TOKENS.iter().zip(known).filter(|(_, known)| *known);
        let tokens = tokens.map(|((token, who), _)| (Digest::plain(token.as_bytes()), who.parse().unwrap()));
        self.world.tokens.replace(tokens).unwrap();
    }

    fn say(&mut self, people: People) {
        *self.world.people.persons.lock().unwrap() = people.clone();
        if let Some((_, until)) = self.said.last_mut() {
            *until = Some(self.now);
        }
        self.said.push((people, None));
    }

    fn deed(&mut self, deed: Deed) {
        deed.to(self.world.gate.enforcer());
        self.deeds.push(deed);
    }

    /// What a gate that remembers nothing says, in a world where the Directory says this.
    async fn anew(&self, people: &People, head: &Parts) -> String {
        let enforcer = enforcer();
        enforcer.synced(at(self.now));
        for deed in &self.deeds {
            deed.to(&enforcer);
        }
        let directory = Few::default();
        directory.persons.lock().unwrap().clone_from(people);
        let gate = Gate::builder(
            RuleSet::compile(&[resource("admin", "/admin")], &[open("/public")]).unwrap(),
            Arc::new(enforcer),
            self.world.tokens.clone(),
            Arc::new(directory),
            self.world.clock.clone(),
        );
        let gate = gate.with_sessions(0).build();
        judged(&match gate.decide(head, None) {
            Verdict::Lookup(lookup) => gate.resolve(head, None, lookup).await,
            verdict => verdict,
        })
    }

    async fn ask(&self, token: usize, path: usize) {
        let (token, _) = TOKENS[token];
        let bearer = format!("Bearer {token}");
        let path = ["/admin/a", "/admin/b"][path];
        let head = head("app.example", path, &[("authorization", &bearer)]);
        let remembered = judged(&self.world.decide(&head).await);
        // What the Directory no longer says is believed for a minute at most.
        let mut possible = Vec::new();
        for (people, until) in &self.said {
            if until.is_none_or(|until| self.now - until < 60) {
                possible.push(self.anew(people, &head).await);
            }
        }
        assert!(
            possible.contains(&remembered),
            "{token} at {path}, {} s: {remembered}, not {possible:?}",
            self.now
        );
    }

    async fn take(&mut self, step: &Step) {
        match *step {
            Step::Ask { token, path, times } => {
                for _ in 0..times {
                    self.ask(token, path).await;
                }
            }
            Step::Publish { grant, what } => {
                let version = self.deeds.len() as u64 + 1;
                let request = request(grant, version, what);
                self.deed(Deed::Publish(version, Box::new(request)));
            }
            Step::Shut { grant } => self.deed(Deed::Shut(grant_id(grant as u128 + 1))),
            Step::Lock { target } => {
                self.locked.push(lockdown(target));
                self.deed(Deed::Lock(lockdown(target)));
                let all = self.locked.clone();
                self.deed(Deed::Lockdowns(self.deeds.len() as u64, all));
            }
            Step::Lift => {
                self.locked.clear();
                self.deed(Deed::Lockdowns(self.deeds.len() as u64, Vec::new()));
            }
            Step::Tokens { known } => self.know(known),
            Step::Person { who, as_what } => {
                let mut people = self.said.last().unwrap().0.clone();
                let (principal, id) = [(ANA, "ana"), (BO, "bo")][who];
                let principal: Principal = principal.parse().unwrap();
                people.retain(|(known, _)| *known != principal);
                let mut said = person(id);
                match as_what {
                    As::Usual | As::Gone => {}
                    As::Disabled => said.disabled = true,
                    As::Locked => said.roles = [Role::new("locked").unwrap()].into(),
                    As::Another => said = person("another"),
                }
                if !matches!(as_what, As::Gone) {
                    people.push((principal, said));
                }
                self.say(people);
            }
            Step::Forget => {
                self.world.gate.forget_sessions();
                self.said.drain(..self.said.len() - 1);
            }
            Step::Pass { seconds } => {
                self.now += seconds;
                self.world.clock.set(at(self.now));
                self.world.gate.enforcer().synced(at(self.now));
            }
        }
    }
}

/// The verdict with what it rests on.
fn judged(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Admit(admission) => {
            let permit = &admission.permit;
            assert!(permit.holder() == &admission.subject.principal);
            format!("{} until {}", permit.grant_id(), permit.not_after())
        }
        other => told(other),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_remembered_decision_is_one_that_would_be_made_now(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new();
            for step in &steps {
                pair.take(step).await;
            }
        });
    }
}

/// Each of these bites on the very next request of a user whose session and grants the thread has copies of.
#[tokio::test]
async fn what_is_taken_away_is_not_remembered() {
    for taken in [
        "narrowed",
        "revoked",
        "shut",
        "locked",
        "token",
        "forgotten",
        "in time",
    ] {
        let mut pair = Pair::new();
        let ask = Step::Ask {
            token: 0,
            path: 1,
            times: 3,
        };
        let publish = |what| Step::Publish { grant: 1, what };
        pair.take(&publish(What::Active)).await;
        pair.take(&ask).await;
        let bearer = [("authorization", "Bearer ana")];
        assert_eq!(
            pair.world.ask("app.example", "/admin/b", &bearer).await,
            "admit local|ana"
        );
        let gone = Step::Person {
            who: 0,
            as_what: As::Gone,
        };
        let (steps, expected) = match taken {
            "narrowed" => (vec![publish(What::Narrowed)], "approval-required"),
            "revoked" => (vec![publish(What::Revoked)], "approval-required"),
            "shut" => (vec![Step::Shut { grant: 1 }], "approval-required"),
            "locked" => (vec![Step::Lock { target: 0 }], "locked-down"),
            "token" => (vec![Step::Tokens { known: [false; 3] }], "unauthenticated"),
            "forgotten" => (vec![gone, Step::Forget], "not-eligible"),
            _ => (vec![gone, Step::Pass { seconds: 60 }], "not-eligible"),
        };
        for step in &steps {
            pair.take(step).await;
        }
        assert_eq!(
            pair.world.ask("app.example", "/admin/b", &bearer).await,
            expected,
            "{taken}"
        );
    }
}

/// Two cores that serve one user write to nothing that both read, but what changes about the grant.
#[tokio::test]
async fn a_thread_that_sees_a_user_often_decides_by_a_copy_of_its_own() {
    let mut pair = Pair::new();
    let gate = pair.world.gate.clone();
    let head = head("app.example", "/admin/a", &[("authorization", "Bearer ana")]);
    let last_of_several = || {
        let decide = || match gate.decide(&head, None) {
            Verdict::Admit(admission) => admission,
            other => panic!("{other:?}"),
        };
        for _ in 0..3 {
            decide();
        }
        decide()
    };
    // The first time a copy is made, then it is put in place of another.
    for what in [What::Active, What::Narrowed] {
        pair.take(&Step::Publish { grant: 1, what }).await;
        let ask = Step::Ask {
            token: 0,
            path: 0,
            times: 1,
        };
        pair.take(&ask).await;
        let here = last_of_several();
        let there = std::thread::scope(|scope| scope.spawn(last_of_several).join().unwrap());
        let target = Target::read(&head).unwrap();
        let (def, person) = (resource("admin", "/admin"), person("ana"));
        let everyones = gate
            .enforcer()
            .check(&here.subject, &person, &def, &target, &head.method, at(1));
        let Answer::Admit(everyones) = everyones else {
            panic!("{everyones:?}");
        };
        let lives = [&here.permit, &there.permit, &everyones].map(Permit::live);
        for (n, live) in lives.iter().enumerate() {
            let others = lives.iter().skip(n + 1);
            assert!(
                others.clone().all(|other| !Arc::ptr_eq(live, other)),
                "{what:?}, {n}"
            );
            assert!(
                others
                    .clone()
                    .all(|other| Arc::ptr_eq(live.usage(), other.usage()))
            );
        }
        assert!(!Arc::ptr_eq(&here.subject, &there.subject) && !Arc::ptr_eq(&here.session, &there.session));
    }
}
