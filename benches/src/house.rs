//! A whole small house: a policy from TOML, a crowd of people, a broker, and grants that it made.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use jit_core::approval::ask::{Actor, Ask, Assurance};
use jit_core::approval::person::Limits;
use jit_core::approval::request::Request;
use jit_core::approval::review::{Decision, Narrowing, Opinion};
use jit_core::approval::state::State;
use jit_core::broker::directory::{Directory, DirectoryError, Members, Person};
use jit_core::broker::store::Store;
use jit_core::broker::{Broker, Rejection, View};
use jit_core::clock::SystemClock;
use jit_core::gate::Gate;
use jit_core::gate::authenticate::Subject;
use jit_core::gate::enforcer::{Enforcer, EnforcerSettings};
use jit_core::gate::interactions::Interactions;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::id::{Digest, Principal, RequestId, Role, Timestamp};
use jit_core::policy::{Format, Policy};
use jit_core::span::Span;

/// Whatever can go wrong with a measurement ends it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The host that all requests go to.
pub const HOST: &str = "app.example.com";

/// 1000 resources on 100 hosts. The one that is asked for is `admin`, on [`HOST`].
fn policy_source() -> String {
    let mut text = String::from(
        r#"
[control]
auditors = ["auditor"]
revokers = ["security"]
lockdown = ["security"]

[[open]]
hosts = ["app.example.com"]
paths = ["/"]

[[resources]]
name = "admin"
hosts = ["app.example.com"]
paths = ["/admin"]

[[policies]]
name = "admin-for-sre"
resources = ["admin"]
requesters = { roles = ["sre"] }
duration = { default = "30m", max = "4h" }
pending_timeout = "1h"
stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]

[[policies]]
name = "others"
resources = ["others-*"]
requesters = { roles = ["sre"] }
duration = { default = "30m", max = "4h" }
approval = "automatic"
"#,
    );
    text = text.replace("resources = [\"others-*\"]", &{
        let names: Vec<String> = (0..999).map(|n| format!("\"others-{n}\"")).collect();
        format!("resources = [{}]", names.join(", "))
    });
    for n in 0..999 {
        let host = match n % 100 {
            0 => HOST.to_owned(),
            host => format!("app{host}.example.com"),
        };
        text.push_str(&format!(
            "\n[[resources]]\nname = \"others-{n}\"\nhosts = [\"{host}\"]\npaths = [\"/team-{n}/console\"]\n"
        ));
    }
    text
}

/// The policy of the house.
///
/// # Errors
/// None, unless the policy language changes.
pub fn policy() -> Result<Policy, BoxError> {
    Ok(Policy::parse(&policy_source(), Format::Toml, "bench.toml")?)
}

/// `bench|u0`, `bench|u1`, … may ask; `bench|lead` may approve.
#[derive(Debug)]
pub struct Crowd;

#[async_trait]
impl Directory for Crowd {
    async fn resolve(&self, principal: &Principal, now: Timestamp) -> Result<Option<Person>, DirectoryError> {
        if principal.issuer() != "bench" {
            return Ok(None);
        }
        let name = principal.subject();
        let role = if name == "lead" { "sre-lead" } else { "sre" };
        let id = name.parse().map_err(Box::from)?;
        Ok(Some(Person {
            id,
            name: name.to_owned(),
            roles: BTreeSet::from([role.parse().map_err(Box::from)?]),
            disabled: false,
            as_of: now,
        }))
    }

    async fn members(&self, role: &Role, _: Timestamp) -> Result<Members, DirectoryError> {
        if role.as_str() == "sre-lead" {
            Ok(Members::Known(BTreeSet::from(["lead"
                .parse()
                .map_err(Box::from)?])))
        } else {
            Ok(Members::Unknown)
        }
    }
}

/// The principal of the requester with this number.
///
/// # Errors
/// None, unless the grammar of principals changes.
pub fn requester(n: usize) -> Result<Principal, BoxError> {
    Ok(Principal::new("bench", &format!("u{n}"))?)
}

/// The API token of that requester: as long as 256 random bits in base64.
pub fn token(n: usize) -> String {
    format!("{n:043}")
}

/// The broker and everything around it.
#[derive(Debug)]
pub struct House {
    /// The control plane.
    pub broker: Broker,
    pub(crate) interactions: Option<Arc<Interactions>>,
    lead: Actor,
}

impl House {
    /// On a store of choice.
    ///
    /// # Errors
    /// The broker's.
    pub async fn on(store: Arc<dyn Store>) -> Result<Self, BoxError> {
        Self::with(store, None).await
    }

    /// As [`House::on`], where requests are recorded.
    ///
    /// # Errors
    /// The broker's.
    pub async fn recording(store: Arc<dyn Store>, interactions: Arc<Interactions>) -> Result<Self, BoxError> {
        Self::with(store, Some(interactions)).await
    }

    async fn with(store: Arc<dyn Store>, interactions: Option<Arc<Interactions>>) -> Result<Self, BoxError> {
        // The measurements drive no follower: they tell the gate themselves that its view is complete.
        let settings = EnforcerSettings::default().with_stale_after(Span::minutes(5))?;
        let mut limits = Limits::default();
        // One lead approves all.
        limits.reviews_per_minute = u32::MAX;
        let mut builder = Broker::builder(store, Arc::new(Crowd), policy()?)
            .limits(limits)
            .enforcer(Arc::new(Enforcer::new(settings)));
        if let Some(interactions) = &interactions {
            builder = builder.interactions(Arc::clone(interactions));
        }
        let broker = builder.build().await?;
        let lead = actor(&broker, Principal::new("bench", "lead")?).await?;
        Ok(Self {
            broker,
            interactions,
            lead,
        })
    }

    /// The requester with this number asks for `admin`.
    ///
    /// # Errors
    /// The broker's.
    pub async fn ask(&self, n: usize) -> Result<Request, BoxError> {
        let ask = Ask {
            resource: "admin".parse()?,
            reason: "look into INC-42: the queue of the importer does not drain".to_owned(),
            duration: None,
            policy: None,
            ticket: None,
            start: None,
            methods: Vec::new(),
            paths: Vec::new(),
            max_requests: None,
            max_bytes: None,
            selector: Default::default(),
            extends: None,
            break_glass: false,
        };
        let actor = actor(&self.broker, requester(n)?).await?;
        Ok(self.broker.ask(&actor, ask, None).await?.view.request)
    }

    /// The lead approves it: with one stage and a quorum of one, that is the grant.
    ///
    /// # Errors
    /// The broker's.
    pub async fn approve(&self, request: &Request) -> Result<View, Rejection> {
        let opinion = Opinion {
            decision: Decision::Approve,
            digest: request.digest,
            comment: String::new(),
            narrowing: Narrowing::default(),
        };
        self.broker.review(&self.lead, request.id, opinion).await
    }

    /// The rules of its policy.
    ///
    /// # Errors
    /// None, unless the policy language changes.
    pub fn rules(&self) -> Result<RuleSet, BoxError> {
        let policy = self.broker.policy();
        Ok(RuleSet::compile(policy.resources(), policy.open())?)
    }

    /// A gate over the broker's grants that knows the tokens of the first `people`, and keeps a session of each.
    ///
    /// # Errors
    /// None, unless the policy language changes.
    pub fn gate(&self, people: usize) -> Result<Gate, BoxError> {
        let rules = self.rules()?;
        let mut tokens = Vec::with_capacity(people);
        for n in 0..people {
            tokens.push((Digest::plain(token(n).as_bytes()), requester(n)?));
        }
        let mut gate = Gate::builder(
            rules,
            self.broker.enforcer().clone(),
            Arc::new(ApiTokens::new(tokens)?),
            Arc::new(Crowd),
            Arc::new(SystemClock::new()),
        );
        if let Some(interactions) = &self.interactions {
            gate = gate.with_interactions(Arc::clone(interactions));
        }
        Ok(gate.with_sessions(people + 1).build())
    }

    /// Gives the requesters `1..people` a grant each, by handing the gate copies of one that the broker made.
    ///
    /// # Errors
    /// If `real` is not active.
    pub fn crowd(&self, real: &Request, people: usize) -> Result<(), BoxError> {
        if real.state != State::Active {
            return Err("the grant is not active".into());
        }
        for n in 1..people {
            let mut copy = real.clone();
            copy.id = RequestId::from_u128(n as u128);
            copy.requester.principal = requester(n)?;
            copy.requester.person = format!("u{n}").parse()?;
            if let Some(grant) = &mut copy.grant {
                grant.id = copy.id.into();
                grant.holder = copy.requester.principal.clone();
                grant.person = copy.requester.person.clone();
            }
            self.broker.enforcer().publish(1, &copy);
        }
        Ok(())
    }

    /// Tells the gate that its view is complete now.
    pub fn synced(&self) {
        self.broker.enforcer().synced(self.broker.now());
    }
}

/// Someone, as proven by nothing in particular.
pub fn subject(principal: Principal) -> Subject {
    Subject {
        principal,
        assurance: Assurance::default(),
        claims: BTreeMap::new(),
        expires_at: None,
    }
}

async fn actor(broker: &Broker, principal: Principal) -> Result<Actor, BoxError> {
    Ok(broker.identify(&subject(principal)).await?)
}
