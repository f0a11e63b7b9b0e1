//! The laws of [`Directory`].
//!
//! Each law takes `make`, an async function that answers a guard, a directory, and the [`Cast`] that it knows.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::broker::directory::{Directory, Members, Person};
use crate::id::{PersonId, Principal, Role, Timestamp};

/// Who is who in the directory on trial.
#[derive(Debug, Clone)]
pub struct Cast {
    /// Two different principals of one person, who has `role` and is not disabled.
    pub same: [Principal; 2],
    /// A principal of another person, who does not have `role`.
    pub other: Principal,
    /// A principal of a third person, who has `role` and is disabled.
    pub disabled: Principal,
    /// A role.
    pub role: Role,
    /// When it all happens.
    pub now: Timestamp,
}

/// Makes one `#[tokio::test]` of each law of [`Directory`](crate::broker::directory::Directory).
///
/// `$make` is the path of an `async fn() -> (guard, Arc<dyn Directory>, Cast)`, or a closure that is one.
#[macro_export]
macro_rules! directory_laws {
    ($make:expr) => {
        $crate::directory_laws!(@each $make;
            an_unknown_principal_is_nobody
            principals_of_one_person_resolve_to_one_id
            persons_are_told_apart
            roles_are_compared_whole
            a_disabled_person_shows_as_disabled
            members_are_complete_or_unknown
            who_is_somebody_is_known
        );
    };
    (@each $make:expr; $($law:ident)*) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                $crate::testing::directory::$law(&$make).await;
            }
        )*
    };
}

async fn resolved(directory: &dyn Directory, principal: &Principal, now: Timestamp) -> Person {
    let answer = directory
        .resolve(principal, now)
        .await
        .expect("a directory that answers");
    answer.expect("a principal of the cast")
}

/// Unknown is nobody, and a principal is compared byte for byte: neither another issuer nor another case will do.
pub async fn an_unknown_principal_is_nobody<G>(make: &impl AsyncFn() -> (G, Arc<dyn Directory>, Cast)) {
    let (_guard, directory, cast) = make().await;
    let [known, _] = &cast.same;
    let (issuer, subject) = (known.issuer(), known.subject());
    let upper = subject.to_uppercase();
    let lower = subject.to_lowercase();
    let longer = format!("{subject}x");
    let foreign = format!("{issuer}.example");
    for (issuer, subject) in [
        (issuer, &*longer),
        (&*foreign, subject),
        (issuer, &*upper),
        (issuer, &*lower),
    ] {
        let stranger = Principal::new(issuer, subject).expect("a principal");
        if stranger == *known {
            continue;
        }
        let answer = directory
            .resolve(&stranger, cast.now)
            .await
            .expect("a directory that answers");
        assert_eq!(answer, None, "{stranger}");
    }
}

/// Two principals of one person resolve to the same id, each time.
pub async fn principals_of_one_person_resolve_to_one_id<G>(
    make: &impl AsyncFn() -> (G, Arc<dyn Directory>, Cast),
) {
    let (_guard, directory, cast) = make().await;
    let [one, two] = &cast.same;
    assert_ne!(one, two, "the cast must name two principals");
    let first = resolved(&*directory, one, cast.now).await;
    let second = resolved(&*directory, two, cast.now).await;
    assert_eq!(first, second);
    assert_eq!(resolved(&*directory, one, cast.now).await.id, first.id);
}

/// Different persons have different ids.
pub async fn persons_are_told_apart<G>(make: &impl AsyncFn() -> (G, Arc<dyn Directory>, Cast)) {
    let (_guard, directory, cast) = make().await;
    let mut ids = BTreeSet::new();
    for principal in [&cast.same[0], &cast.other, &cast.disabled] {
        ids.insert(resolved(&*directory, principal, cast.now).await.id);
    }
    assert_eq!(ids.len(), 3);
}

/// A person has exactly the roles given: a role is compared whole, never by its ending.
pub async fn roles_are_compared_whole<G>(make: &impl AsyncFn() -> (G, Arc<dyn Directory>, Cast)) {
    let (_guard, directory, cast) = make().await;
    let [holder, _] = &cast.same;
    assert!(
        resolved(&*directory, holder, cast.now)
            .await
            .roles
            .contains(&cast.role)
    );
    assert!(
        !resolved(&*directory, &cast.other, cast.now)
            .await
            .roles
            .contains(&cast.role)
    );
    for near in [format!("/tenant/{}", cast.role), format!("{}s", cast.role)] {
        let near = Role::new(near).expect("a role");
        let answer = directory
            .members(&near, cast.now)
            .await
            .expect("a directory that answers");
        assert!(
            matches!(&answer, Members::Unknown) || answer == Members::Known(BTreeSet::new()),
            "{answer:?}"
        );
    }
}

/// A disabled person is shown as such, and never as someone who may act.
pub async fn a_disabled_person_shows_as_disabled<G>(make: &impl AsyncFn() -> (G, Arc<dyn Directory>, Cast)) {
    let (_guard, directory, cast) = make().await;
    assert!(!resolved(&*directory, &cast.same[0], cast.now).await.disabled);
    let answer = directory
        .resolve(&cast.disabled, cast.now)
        .await
        .expect("a directory that answers");
    assert!(answer.is_none_or(|person| person.disabled));
}

/// `members` lists everyone who has the role and is not disabled, or says that it can't.
pub async fn members_are_complete_or_unknown<G>(make: &impl AsyncFn() -> (G, Arc<dyn Directory>, Cast)) {
    let (_guard, directory, cast) = make().await;
    let Members::Known(members) = directory
        .members(&cast.role, cast.now)
        .await
        .expect("a directory that answers")
    else {
        return;
    };
    assert!(members.contains(&resolved(&*directory, &cast.same[0], cast.now).await.id));
    for absent in [&cast.other, &cast.disabled] {
        assert!(
            !members.contains(&resolved(&*directory, absent, cast.now).await.id),
            "{absent}"
        );
    }
}

/// Nobody who is somebody is said to be nobody, and nobody is made up.
pub async fn who_is_somebody_is_known<G>(make: &impl AsyncFn() -> (G, Arc<dyn Directory>, Cast)) {
    let (_guard, directory, cast) = make().await;
    for principal in [&cast.same[0], &cast.other, &cast.disabled] {
        let person = resolved(&*directory, principal, cast.now).await;
        let known = directory.knows(&person.id, cast.now).await;
        assert_ne!(
            known.expect("a directory that answers"),
            Some(false),
            "{principal}"
        );
        let longer = PersonId::new(format!("{}x", person.id)).expect("an id");
        let known = directory.knows(&longer, cast.now).await;
        assert_ne!(known.expect("a directory that answers"), Some(true), "{longer}");
    }
}
