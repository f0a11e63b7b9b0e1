//! The policy, its people, and a broker that has decided on their askings.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jit_core::approval::ask::{Actor, Ask, Assurance};
use jit_core::approval::review::{Decision, Narrowing, Opinion};
use jit_core::broker::Broker;
use jit_core::broker::people::PeopleFile;
use jit_core::clock::{Clock, SystemClock};
use jit_core::gate::Gate;
use jit_core::gate::authenticate::Subject;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::id::{Principal, Timestamp};
use jit_core::memory::MemoryStore;
use jit_core::policy::{Format, Policy};
use serde::Deserialize;

use crate::TargetError;

/// The token of alice, in whose name the corpus speaks.
pub const ALICE: &str = "demo-alice";

const POLICY: &str = r#"
[control]
auditors = ["lead"]
revokers = ["lead"]
lockdown = ["lead"]

[[open]]
hosts = ["app.example.com"]
paths = ["/"]

[[resources]]
name = "admin"
hosts = ["app.example.com"]
paths = ["/admin"]

[[resources]]
name = "billing"
hosts = ["app.example.com"]
paths = ["/billing"]

[[policies]]
name = "either"
resources = ["admin", "billing"]
requesters = { roles = ["engineer"] }
duration = { default = "24h", max = "24h" }
pending_timeout = "1h"
stages = [ { name = "lead", approvers = { roles = ["lead"] } } ]
"#;

const PEOPLE: &str = r#"
[[people]]
name = "alice"
principals = ["target|alice"]
roles = ["engineer"]
token = "demo-alice"

[[people]]
name = "bob"
principals = ["target|bob"]
roles = ["engineer"]
token = "demo-bob"

[[people]]
name = "carol"
principals = ["target|carol"]
roles = ["lead"]
"#;

/// Which grant there is in the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the corpus has these and no others")]
pub enum Grants {
    /// None.
    None,
    /// Alice holds `/admin`.
    Admin,
    /// Alice holds `/billing`.
    OtherPath,
    /// Alice held `/admin`, and its window is over.
    Expired,
    /// Bob holds `/admin`.
    OtherUser,
}

impl Grants {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Admin,
        Self::OtherPath,
        Self::Expired,
        Self::OtherUser,
    ];

    /// As the corpus and the command line write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Admin => "admin",
            Self::OtherPath => "other_path",
            Self::Expired => "expired",
            Self::OtherUser => "other_user",
        }
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Grants {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|grants| grants.as_str() == text);
        found.ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|grants| grants.as_str()).collect();
            format!("{text:?} is none of {}", all.join(", "))
        })
    }
}

/// A broker with the policy, and a gate in front of what it granted.
#[derive(Debug)]
pub struct House {
    broker: Broker,
    gate: Gate,
    clock: Arc<ShiftedClock>,
}

impl House {
    /// Builds the house; its grants are asked for and approved like any other.
    ///
    /// # Errors
    /// [`TargetError::House`], if the policy language or the rules of the broker have changed.
    pub async fn build(grants: Grants) -> Result<Self, TargetError> {
        let build = async {
            let house = Self::empty().await?;
            match grants {
                Grants::None => {}
                Grants::Admin => house.grant("alice", "admin", "24h").await?,
                Grants::OtherPath => house.grant("alice", "billing", "24h").await?,
                Grants::OtherUser => house.grant("bob", "admin", "24h").await?,
                Grants::Expired => {
                    house.grant("alice", "admin", "1m").await?;
                    house.clock.shift(3600);
                    house.broker.follow().await?;
                }
            }
            Ok::<_, BoxError>(house)
        };
        build.await.map_err(|source| TargetError::House { source })
    }

    /// The gate.
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The broker. Without [`Broker::run`] the gate's view grows stale and it shuts.
    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    async fn empty() -> Result<Self, BoxError> {
        let policy = Policy::parse(POLICY, Format::Toml, "policy.toml")?;
        let people = Arc::new(PeopleFile::parse(PEOPLE, Format::Toml, "people.toml")?);
        let rules = RuleSet::compile(policy.resources(), policy.open())?;
        let tokens = people
            .tokens()
            .into_iter()
            .map(|token| (token.sha256, token.principal));
        let tokens = ApiTokens::new(tokens)?;
        let clock = Arc::new(ShiftedClock::default());
        let broker = Broker::builder(Arc::new(MemoryStore::new()), people.clone(), policy)
            .clock(clock.clone())
            .build()
            .await?;
        let gate = Gate::builder(
            rules,
            broker.enforcer().clone(),
            Arc::new(tokens),
            people,
            clock.clone(),
        );
        let gate = gate.with_reserve(Arc::new(broker.clone())).build();
        Ok(Self { broker, gate, clock })
    }

    async fn grant(&self, who: &str, resource: &str, duration: &str) -> Result<(), BoxError> {
        let asker = self.actor(who).await?;
        let ask: Ask = serde_json::from_value(serde_json::json!({
            "resource": resource, "duration": duration, "reason": "the corpus needs this grant",
        }))?;
        let asked = self.broker.ask(&asker, ask, None).await?.view.request;
        let opinion = Opinion {
            decision: Decision::Approve,
            digest: asked.digest,
            comment: String::new(),
            narrowing: Narrowing::default(),
        };
        self.broker
            .review(&self.actor("carol").await?, asked.id, opinion)
            .await?;
        Ok(())
    }

    async fn actor(&self, name: &str) -> Result<Actor, BoxError> {
        let subject = Subject {
            principal: Principal::new("target", name)?,
            assurance: Assurance::default(),
            claims: BTreeMap::new(),
            expires_at: None,
        };
        Ok(self.broker.identify(&subject).await?)
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The machine's clock, set forward.
#[derive(Debug, Default)]
struct ShiftedClock {
    machine: SystemClock,
    seconds: AtomicI64,
}

impl ShiftedClock {
    fn shift(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        let ahead = std::time::Duration::from_secs(self.seconds.load(Ordering::SeqCst).unsigned_abs());
        self.machine.now() + ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jit_core::gate::Verdict;
    use jit_core::gate::refusal::Refusal;

    async fn knock(grants: Grants, path: &str) -> Result<(), Refusal> {
        let house = House::build(grants).await.unwrap();
        let request = http::Request::get(path)
            .header("host", "app.example.com")
            .header("authorization", format!("Bearer {ALICE}"));
        let head = request.body(()).unwrap().into_parts().0;
        match house.gate.decide(&head, None) {
            Verdict::Lookup(lookup) => match house.gate.resolve(&head, None, lookup).await {
                Verdict::Refuse(refusal) => Err(refusal),
                verdict => {
                    assert!(matches!(verdict, Verdict::Admit(_)), "{verdict:?}");
                    Ok(())
                }
            },
            verdict => panic!("{verdict:?}"),
        }
    }

    /// Each house has the grant that its name says, and the expired one is past its end, not missing or stale.
    #[tokio::test]
    async fn each_house_holds_its_grant() {
        let required = |name: &str| {
            Err(Refusal::ApprovalRequired {
                resource: name.parse().unwrap(),
            })
        };
        for (grants, admin, billing) in [
            (Grants::None, required("admin"), required("billing")),
            (Grants::Admin, Ok(()), required("billing")),
            (Grants::OtherPath, required("admin"), Ok(())),
            (Grants::Expired, required("admin"), required("billing")),
            (Grants::OtherUser, required("admin"), required("billing")),
        ] {
            assert_eq!(knock(grants, "/admin/x").await, admin, "{grants}");
            assert_eq!(knock(grants, "/billing").await, billing, "{grants}");
        }
    }
}
