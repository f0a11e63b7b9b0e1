//! The Directory of those who prove claims: people of an identity provider, jobs of a CI system.
//!
//! [`Learning`] wraps an authenticator and tells a [`ClaimsDirectory`] of everyone that it proves. The directory turns claims into roles by
//! the policy's [`Mappings`], and answers for them until that is too long ago.
//!
//! # Rules
//! 1. Someone who was not proven within the greatest age is nobody. So is someone whose claims give no role: the world's CI jobs fill no
//!    memory here.
//! 2. Roles are those of the claims that were proven last. A claim that is gone takes its roles away with the next proof, which is at most
//!    a session's life after the issuer's next token ([`SESSION_MAX`](crate::gate::SESSION_MAX)).
//! 3. One principal is one person, whose id is `issuer|subject`, unless [`ClaimsDirectory::with_person`] says that several principals are
//!    one human or machine. Nobody is merged by name or e-mail address: that would be a guess, and quorum rests on it.
//! 4. With a store, what was proven is kept there, and looked for there by a process that does not know it. A proof that gives no role is
//!    believed only once what was kept before is gone.
//! 5. Who has a role is [`Members::Unknown`]: people are learned of as they come.
//!
//! # Caveats
//! - Link people who have several ways in, or who own a CI job: else they can review what their other self asked for.
//! - Without [`ClaimsDirectory::with_store`] it is this process's memory. In a fleet a person is known where they were proven then; a review
//!   that another process decides finds a requester unknown there, and ends the request.
//! - Without [`ClaimsDirectory::with_store`] a restart makes everyone nobody until their next proof, and what they hold or wait for ends.
//! - So it does once their last proof is older than the greatest age: a request that is to open tomorrow has to be somebody's who comes back.

mod kept;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use chrono::TimeDelta;
use http::request::Parts;
#[cfg(test)]
use serde_json::Value;

use crate::broker::directory::{Directory, DirectoryError, Members, Person};
use crate::broker::store::{Store, StoreError};
use crate::gate::authenticate::{AuthError, Authenticator, CredentialSource, Presented, Subject};
use crate::id::{Digest, PersonId, Principal, Role, TEXT_MAX, Timestamp};
use crate::policy::{Mappings, text};
use kept::{Kept, Proven};

/// How long a proof counts, unless said otherwise.
pub const AGE: TimeDelta = TimeDelta::hours(8);
/// The longest that a proof can be made to count.
pub const AGE_MAX: TimeDelta = TimeDelta::hours(24);
/// How many principals are remembered, unless said otherwise.
pub const CAPACITY: usize = 10_000;
/// What the id of somebody begins with whose issuer and subject are too long to be one.
const HASHED: &str = "sha256:";
/// How far one thread's view of now may be behind another's.
const SLACK: TimeDelta = TimeDelta::seconds(30);

/// Why a directory of claims can't be set up so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadClaimsDirectory {
    /// One human would fill two seats.
    #[error("the principal {0} is listed for two persons; a principal belongs to one")]
    Shared(Principal),
    /// Nobody would ever be known, or people who left would be for too long.
    #[error("a proof counts for more than nothing, and for 24 hours at most")]
    Age,
}

/// A [`Directory`] of everyone who proved claims that give a role.
pub struct ClaimsDirectory {
    table: RwLock<Table>,
    persons: HashMap<PersonId, Vec<Principal>>,
    links: HashMap<Principal, PersonId>,
    disabled: HashSet<PersonId>,
    age: TimeDelta,
    capacity: usize,
    kept: Option<Kept>,
}

#[derive(Default)]
struct Table {
    mappings: Mappings,
    known: HashMap<Principal, Known>,
    /// Counts what was learned: what was read from the store before counts for less.
    news: u64,
}

struct Known {
    proven: Proven,
    roles: BTreeSet<Role>,
    /// When it was last written down.
    kept_at: Option<Timestamp>,
}

impl ClaimsDirectory {
    /// Gives roles by these mappings.
    pub fn new(mappings: Mappings) -> Self {
        let table = Table {
            mappings,
            ..Table::default()
        };
        Self {
            table: RwLock::new(table),
            persons: HashMap::new(),
            links: HashMap::new(),
            disabled: HashSet::new(),
            age: AGE,
            capacity: CAPACITY,
            kept: None,
        }
    }

    /// Keeps what was proven in the cells of `store`, one for each principal with a role: a restart makes nobody of no one.
    #[must_use]
    pub fn with_store(mut self, store: Arc<dyn Store>) -> Self {
        self.kept = Some(Kept(store));
        self
    }

    /// These principals are one person, with this id. The person has the roles of all of them that were proven lately.
    ///
    /// # Errors
    /// [`BadClaimsDirectory::Shared`] when one of them is already somebody.
    pub fn with_person(
        mut self,
        id: PersonId,
        principals: impl IntoIterator<Item = Principal>,
    ) -> Result<Self, BadClaimsDirectory> {
        let mut listed: Vec<_> = principals.into_iter().collect();
        for principal in &listed {
            if self.links.insert(principal.clone(), id.clone()).is_some() {
                return Err(BadClaimsDirectory::Shared(principal.clone()));
            }
        }
        let all = self.persons.entry(id).or_default();
        all.append(&mut listed);
        all.sort();
        Ok(self)
    }

    /// These persons are nobody, whatever they prove. The id of who is not linked is `issuer|subject`: [`ClaimsDirectory::person_id`].
    #[must_use]
    pub fn with_disabled(mut self, ids: impl IntoIterator<Item = PersonId>) -> Self {
        self.disabled.extend(ids);
        self
    }

    /// Lets a proof count this long, in place of [`AGE`].
    ///
    /// # Errors
    /// [`BadClaimsDirectory::Age`] unless that is more than nothing and at most [`AGE_MAX`].
    pub fn with_age(mut self, age: TimeDelta) -> Result<Self, BadClaimsDirectory> {
        if age <= TimeDelta::zero() || age > AGE_MAX {
            return Err(BadClaimsDirectory::Age);
        }
        self.age = age;
        Ok(self)
    }

    /// Remembers at most this many principals, in place of [`CAPACITY`]. When it is full of people who still count, others are nobody.
    #[must_use]
    pub fn with_capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// Gives roles by these mappings from now on, to those who are known as well. Call
    /// [`Gate::forget_sessions`](crate::gate::Gate::forget_sessions) after it, so that no session goes on with the roles of before.
    pub fn set_mappings(&self, mappings: Mappings) {
        let mut table = self.write();
        for (principal, known) in &mut table.known {
            known.roles = mappings.roles(principal, &known.proven.claims);
        }
        let links = &self.links;
        table
            .known
            .retain(|principal, known| !known.roles.is_empty() || links.contains_key(principal));
        table.mappings = mappings;
        table.news += 1;
    }

    /// Takes note of someone who was proven at `now`.
    pub fn learn(&self, subject: &Subject, now: Timestamp) {
        let principal = &subject.principal;
        let mut table = self.write();
        table.news += 1;
        let roles = table.mappings.roles(principal, &subject.claims);
        if roles.is_empty() && !self.links.contains_key(principal) {
            table.known.remove(principal);
            return;
        }
        if table.known.len() >= self.capacity && !table.known.contains_key(principal) {
            table.known.retain(|_, known| self.counts(known, now));
            if table.known.len() >= self.capacity {
                tracing::warn!(
                    capacity = self.capacity,
                    "the directory of claims is full; a newcomer stays unknown"
                );
                return;
            }
        }
        let proven = Proven {
            name: display_name(subject),
            claims: subject.claims.clone(),
            as_of: now,
        };
        let before = table.known.get(principal);
        // Written down lately, and nothing has changed since but the time.
        let kept_at = before
            .filter(|before| before.proven.name == proven.name && before.proven.claims == proven.claims)
            .and_then(|before| before.kept_at);
        let known = Known {
            proven,
            roles,
            kept_at,
        };
        table.known.insert(principal.clone(), known);
    }

    /// Has the store say of this principal what was learned last, if there is a store.
    async fn keep(&self, principal: &Principal, now: Timestamp) -> Result<(), StoreError> {
        let Some(kept) = &self.kept else {
            return Ok(());
        };
        let proven = {
            let table = self.read();
            let known = table.known.get(principal);
            if known.is_some_and(|known| known.kept_at.is_some_and(|at| now - at < kept::AGAIN)) {
                return Ok(());
            }
            known.map(|known| known.proven.clone())
        };
        match &proven {
            Some(proven) => kept.write(principal, proven).await?,
            None => kept.forget(principal).await?,
        }
        let mut table = self.write();
        table.news += 1;
        match (proven, table.known.get_mut(principal)) {
            (Some(proven), Some(known)) if known.proven == proven => known.kept_at = Some(now),
            // Somebody has read it before it was gone.
            (None, Some(_)) => {
                table.known.remove(principal);
            }
            _ => {}
        }
        Ok(())
    }

    /// Knows again what the store knows of this principal, unless something newer was learned meanwhile.
    async fn recall(&self, principal: &Principal, now: Timestamp) -> Result<(), StoreError> {
        let Some(kept) = &self.kept else {
            return Ok(());
        };
        let news = {
            let table = self.read();
            let known = table.known.get(principal);
            if known.is_some_and(|known| self.counts(known, now)) {
                return Ok(());
            }
            table.news
        };
        let Some(proven) = kept.read(principal).await? else {
            return Ok(());
        };
        let mut table = self.write();
        let roles = table.mappings.roles(principal, &proven.claims);
        let known = Known {
            kept_at: Some(proven.as_of),
            proven,
            roles,
        };
        let somebody = !known.roles.is_empty() || self.links.contains_key(principal);
        let room = table.known.len() < self.capacity || table.known.contains_key(principal);
        if table.news == news && somebody && room && self.counts(&known, now) {
            table.known.insert(principal.clone(), known);
        }
        Ok(())
    }

    /// The id of the person behind `principal`: the one that it is linked to, else `issuer|subject`, and where that is too long for an id
    /// `sha256:` and its hash.
    pub fn person_id(&self, principal: &Principal) -> Option<PersonId> {
        if let Some(id) = self.links.get(principal) {
            return Some(id.clone());
        }
        let whole = principal.to_string();
        let id = if whole.len() <= TEXT_MAX {
            whole
        } else {
            format!("{HASHED}{}", Digest::plain(whole.as_bytes()))
        };
        PersonId::new(id).ok()
    }

    /// How many principals are remembered.
    pub fn len(&self) -> usize {
        self.read().known.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn counts(&self, known: &Known, now: Timestamp) -> bool {
        let age = now - known.proven.as_of;
        age < self.age && age > -SLACK
    }

    // What a panic interrupted is whole all the same: every change is one insertion or removal after all that can fail.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many, not who.
impl fmt::Debug for ClaimsDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimsDirectory")
            .field("known", &self.len())
            .field("linked", &self.links.len())
            .finish_non_exhaustive()
    }
}

/// For people to read: what the issuer calls them, else the subject.
fn display_name(subject: &Subject) -> String {
    let named = ["name", "preferred_username", "email"]
        .iter()
        .filter_map(|claim| subject.claims.get(*claim)?.as_str())
        .map(text::clean)
        .find(|name| !name.is_empty() && name.len() <= TEXT_MAX);
    named.unwrap_or_else(|| text::clean(subject.principal.subject()))
}

#[async_trait]
impl Directory for ClaimsDirectory {
    async fn resolve(&self, principal: &Principal, now: Timestamp) -> Result<Option<Person>, DirectoryError> {
        let Some(id) = self.person_id(principal) else {
            return Ok(None);
        };
        let alone = std::slice::from_ref(principal);
        let all = self.persons.get(&id).map_or(alone, Vec::as_slice);
        for principal in all {
            let recalled = self.recall(principal, now).await;
            recalled.map_err(|error| DirectoryError { source: error.into() })?;
        }
        let table = self.read();
        let known: Vec<_> = all
            .iter()
            .filter_map(|principal| table.known.get(principal))
            .filter(|known| self.counts(known, now))
            .collect();
        let Some(first) = known.first() else {
            return Ok(None);
        };
        Ok(Some(Person {
            name: first.proven.name.clone(),
            roles: known.iter().flat_map(|known| &known.roles).cloned().collect(),
            disabled: self.disabled.contains(&id),
            as_of: (known.iter().map(|known| known.proven.as_of).min()).unwrap_or(first.proven.as_of),
            id,
        }))
    }

    async fn members(&self, _role: &Role, _now: Timestamp) -> Result<Members, DirectoryError> {
        Ok(Members::Unknown)
    }

    async fn knows(&self, person: &PersonId, _now: Timestamp) -> Result<Option<bool>, DirectoryError> {
        // Somebody may come whose id is of a form that is made here; nobody else does.
        let made = person.as_str().contains('|') || person.as_str().starts_with(HASHED);
        let could_come = made || self.persons.contains_key(person);
        Ok((!could_come).then_some(false))
    }
}

/// An [`Authenticator`] that tells a [`ClaimsDirectory`] of everyone whom the one inside proves.
#[derive(Debug)]
pub struct Learning {
    inner: Arc<dyn Authenticator>,
    directory: Arc<ClaimsDirectory>,
}

impl Learning {
    /// Tells `directory` of everyone whom `inner` proves.
    pub fn new(inner: Arc<dyn Authenticator>, directory: Arc<ClaimsDirectory>) -> Self {
        Self { inner, directory }
    }
}

#[async_trait]
impl Authenticator for Learning {
    fn present<'r>(&self, head: &'r Parts, peer: Option<IpAddr>) -> Presented<'r> {
        self.inner.present(head, peer)
    }

    async fn verify(
        &self,
        credential: &[u8],
        source: CredentialSource,
        now: Timestamp,
    ) -> Result<Subject, AuthError> {
        let subject = self.inner.verify(credential, source, now).await?;
        self.directory.learn(&subject, now);
        let kept = self.directory.keep(&subject.principal, now).await;
        kept.map_err(|error| AuthError::Unavailable { source: error.into() })?;
        Ok(subject)
    }

    fn revoked(&self, credential: &Digest) -> bool {
        self.inner.revoked(credential)
    }

    fn revocations(&self) -> Option<u64> {
        self.inner.revocations()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::approval::ask::Assurance;
    use crate::policy::{Format, Policy};

    const ISSUER: &str = "https://idp.example";

    fn mappings(role: &str) -> Mappings {
        let source = format!(
            "[[mappings]]\nissuer = \"{ISSUER}\"\nclaims = {{ groups = \"sre\" }}\nroles = [\"{role}\"]\n\
             [[mappings]]\nissuer = \"{ISSUER}\"\nclaims = {{ groups = \"dev\" }}\nroles = [\"dev\"]\n\
             [[mappings]]\nissuer = \"ci\"\nclaims = {{ repository = \"acme/app\" }}\nroles = [\"deployer\"]\n"
        );
        Policy::parse(&source, Format::Toml, "p")
            .unwrap()
            .mappings()
            .clone()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn principal(issuer: &str, subject: &str) -> Principal {
        Principal::new(issuer, subject).unwrap()
    }

    fn proven(issuer: &str, name: &str, claims: Value) -> Subject {
        Subject {
            principal: principal(issuer, name),
            assurance: Assurance::default(),
            claims: serde_json::from_value(claims).unwrap(),
            expires_at: None,
        }
    }

    fn id(text: &str) -> PersonId {
        PersonId::new(text).unwrap()
    }

    async fn roles(directory: &ClaimsDirectory, who: &Principal, now: Timestamp) -> Option<String> {
        let person = directory.resolve(who, now).await.unwrap()?;
        Some(
            person
                .roles
                .iter()
                .map(Role::as_str)
                .collect::<Vec<_>>()
                .join(","),
        )
    }

    mod laws {
        use super::*;
        use crate::testing::directory::Cast;

        async fn claims_directory() -> ((), Arc<dyn Directory>, Cast) {
            let cast = Cast {
                same: [principal(ISSUER, "ada"), principal("ci", "ada-job")],
                other: principal(ISSUER, "bob"),
                disabled: principal(ISSUER, "eve"),
                role: Role::new("sre").unwrap(),
                now: at(0),
            };
            let directory = ClaimsDirectory::new(mappings("sre"))
                .with_person(id("ada"), cast.same.clone())
                .unwrap()
                .with_disabled([id("https://idp.example|eve")]);
            for (who, group) in [("ada", "sre"), ("bob", "dev"), ("eve", "sre")] {
                directory.learn(&proven(ISSUER, who, json!({"groups": [group]})), at(0));
            }
            ((), Arc::new(directory), cast)
        }

        crate::directory_laws!(claims_directory);
    }

    /// An authenticator that proves whoever it is asked about to have these groups.
    #[derive(Debug)]
    struct Vouches(&'static str, Value);

    #[async_trait]
    impl Authenticator for Vouches {
        fn present<'r>(&self, _: &'r Parts, _: Option<IpAddr>) -> Presented<'r> {
            Presented::Nothing
        }

        async fn verify(&self, _: &[u8], _: CredentialSource, _: Timestamp) -> Result<Subject, AuthError> {
            Ok(proven(ISSUER, self.0, json!({"groups": self.1})))
        }

        fn revoked(&self, _: &Digest) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn what_is_kept_in_a_store_outlives_the_process_but_not_its_age_or_a_newer_proof() {
        let store: Arc<dyn Store> = Arc::new(crate::memory::MemoryStore::new());
        let started = || Arc::new(ClaimsDirectory::new(mappings("sre")).with_store(store.clone()));
        let prove = async |directory: &Arc<ClaimsDirectory>, groups: Value, now| {
            let learning = Learning::new(Arc::new(Vouches("ana", groups)), directory.clone());
            learning
                .verify(b"", CredentialSource::Authorization, now)
                .await
                .unwrap();
        };
        let ana = principal(ISSUER, "ana");
        let first = started();
        prove(&first, json!(["sre"]), at(0)).await;
        // Within a quarter of an hour the same is not written again; what has changed is.
        prove(&first, json!(["sre"]), at(60)).await;
        prove(&first, json!(["sre", "dev"]), at(120)).await;
        for (now, expected) in [(at(120), Some("dev,sre")), (at(120 + 8 * 3600), None)] {
            assert_eq!(roles(&started(), &ana, now).await.as_deref(), expected, "{now}");
        }
        let second = started();
        assert_eq!(roles(&second, &principal(ISSUER, "bo"), at(130)).await, None);
        assert_eq!(roles(&second, &ana, at(130)).await.as_deref(), Some("dev,sre"));
        // The last proof counts, also for a process that has not heard of the ones before.
        prove(&started(), json!(["x"]), at(140)).await;
        assert_eq!(roles(&started(), &ana, at(150)).await, None);
        // An older one that comes late replaces no newer one.
        prove(&started(), json!(["dev"]), at(200)).await;
        prove(&started(), json!(["sre"]), at(190)).await;
        assert_eq!(roles(&started(), &ana, at(210)).await.as_deref(), Some("dev"));
    }

    #[tokio::test]
    async fn only_who_was_proven_lately_and_has_a_role_is_somebody() {
        let directory = ClaimsDirectory::new(mappings("sre"))
            .with_age(TimeDelta::hours(1))
            .unwrap();
        let ana = principal(ISSUER, "ana");
        assert_eq!(roles(&directory, &ana, at(0)).await, None);
        directory.learn(&proven(ISSUER, "ana", json!({"groups": ["sre", "dev"]})), at(0));
        directory.learn(
            &proven("https://evil.example", "ana", json!({"groups": ["sre"]})),
            at(0),
        );
        directory.learn(
            &proven(ISSUER, "bo", json!({"groups": ["x"], "email": "ana@example.com"})),
            at(0),
        );
        assert_eq!(directory.len(), 1, "who has no role is not remembered");
        for (now, expected) in [
            (at(0), Some("dev,sre")),
            (at(3599), Some("dev,sre")),
            (at(3600), None),
            (at(-29), Some("dev,sre")),
            (at(-30), None),
        ] {
            assert_eq!(roles(&directory, &ana, now).await.as_deref(), expected, "{now}");
        }
        let person = directory.resolve(&ana, at(5)).await.unwrap().unwrap();
        assert_eq!(
            (person.id, person.as_of, person.disabled),
            (id("https://idp.example|ana"), at(0), false)
        );
        // The next proof decides.
        directory.learn(&proven(ISSUER, "ana", json!({"groups": ["dev"]})), at(10));
        assert_eq!(roles(&directory, &ana, at(10)).await.as_deref(), Some("dev"));
        directory.learn(&proven(ISSUER, "ana", json!({})), at(20));
        assert_eq!(roles(&directory, &ana, at(20)).await, None);
        assert!(directory.is_empty());
    }

    #[tokio::test]
    async fn linked_principals_are_one_person_with_the_roles_of_both() {
        let [ana, job] = [principal(ISSUER, "ana"), principal("ci", "job")];
        let directory = ClaimsDirectory::new(mappings("sre"))
            .with_person(id("ana"), [ana.clone(), job.clone()])
            .unwrap();
        directory.learn(
            &proven(ISSUER, "ana", json!({"groups": "sre", "name": "Ana"})),
            at(0),
        );
        directory.learn(&proven("ci", "job", json!({"repository": "acme/app"})), at(60));
        for who in [&ana, &job] {
            let person = directory.resolve(who, at(60)).await.unwrap().unwrap();
            assert_eq!((person.id.as_str(), person.as_of), ("ana", at(0)));
            assert_eq!(
                roles(&directory, who, at(60)).await.as_deref(),
                Some("deployer,sre")
            );
        }
        let late = at(0) + AGE;
        assert_eq!(roles(&directory, &ana, late).await.as_deref(), Some("deployer"));
        let shared = ClaimsDirectory::new(Mappings::default())
            .with_person(id("a"), [ana.clone()])
            .unwrap()
            .with_person(id("b"), [ana.clone()]);
        assert_eq!(shared.unwrap_err(), BadClaimsDirectory::Shared(ana));
    }

    #[tokio::test]
    async fn new_mappings_hold_at_once() {
        let directory = ClaimsDirectory::new(mappings("sre"));
        let ana = principal(ISSUER, "ana");
        directory.learn(&proven(ISSUER, "ana", json!({"groups": "sre"})), at(0));
        directory.set_mappings(mappings("other"));
        assert_eq!(roles(&directory, &ana, at(1)).await.as_deref(), Some("other"));
        directory.set_mappings(Mappings::default());
        assert_eq!(roles(&directory, &ana, at(1)).await, None);
    }

    #[tokio::test]
    async fn memory_is_bounded_and_newcomers_put_nobody_out() {
        let directory = ClaimsDirectory::new(mappings("sre")).with_capacity(2);
        let learn = |name: &str, now| directory.learn(&proven(ISSUER, name, json!({"groups": "sre"})), now);
        learn("a", at(0));
        learn("b", at(10));
        learn("c", at(20));
        assert_eq!(
            roles(&directory, &principal(ISSUER, "a"), at(20))
                .await
                .as_deref(),
            Some("sre")
        );
        assert_eq!(roles(&directory, &principal(ISSUER, "c"), at(20)).await, None);
        learn("a", at(30));
        learn("c", at(11) + AGE);
        assert_eq!(directory.len(), 2, "b is too long ago");
        for age in [TimeDelta::zero(), AGE_MAX + TimeDelta::seconds(1)] {
            let refused = ClaimsDirectory::new(Mappings::default()).with_age(age);
            assert_eq!(refused.unwrap_err(), BadClaimsDirectory::Age);
        }
    }

    #[test]
    fn names_are_for_reading_and_ids_always_fit() {
        let directory = ClaimsDirectory::new(Mappings::default());
        for (claims, expected) in [
            (
                json!({"name": "Ana\u{202e} Example", "email": "x@y"}),
                "Ana Example",
            ),
            (json!({"name": " ", "preferred_username": "ana"}), "ana"),
            (json!({"name": 7, "email": "ana@example.com"}), "ana@example.com"),
            (json!({"name": "x".repeat(300)}), "sub"),
            (json!({}), "sub"),
        ] {
            assert_eq!(
                display_name(&proven("i", "sub", claims.clone())),
                expected,
                "{claims}"
            );
        }
        let [one, two] =
            ["a", "b"].map(|end| principal(&"i".repeat(200), &format!("{}{end}", "s".repeat(200))));
        assert_ne!(directory.person_id(&one), directory.person_id(&two));
        assert!(directory.person_id(&one).unwrap().as_str().starts_with("sha256:"));
    }

    #[tokio::test]
    async fn nobody_who_may_come_is_said_to_be_nobody() {
        let linked = PersonId::new("ana").unwrap();
        let directory = ClaimsDirectory::new(Mappings::default())
            .with_person(linked.clone(), [principal("i", "ana")])
            .unwrap();
        let long = directory.person_id(&principal(&"i".repeat(200), &"s".repeat(200)));
        for (id, known) in [
            (linked, None),
            (PersonId::new("i|bob").unwrap(), None),
            (long.unwrap(), None),
            (PersonId::new("bob").unwrap(), Some(false)),
        ] {
            let answer = directory.knows(&id, Timestamp::UNIX_EPOCH).await.unwrap();
            assert_eq!(answer, known, "{id}");
        }
    }
}
