//! Several directories as one.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::directory::{Directory, DirectoryError, Members, Person};
use crate::id::{PersonId, Principal, Role, Timestamp};

/// Asks several directories, in this order: a file of people first, then those who prove claims, for one.
///
/// 1. The first directory that knows a principal answers for it, whole: no roles are added from another, and who is disabled there is
///    disabled.
/// 2. One that does not answer may be the one that knows, so then nobody is resolved.
/// 3. Who has a role, and that there is no such person, is known only if every directory knows.
///
/// Each human or machine belongs in one of them, with all of its principals: no directory knows whom another one means.
#[derive(Debug, Clone)]
pub struct Directories(Vec<Arc<dyn Directory>>);

impl Directories {
    /// In this order. Without any nobody is somebody.
    pub fn new(directories: impl IntoIterator<Item = Arc<dyn Directory>>) -> Self {
        Self(directories.into_iter().collect())
    }
}

#[async_trait]
impl Directory for Directories {
    async fn resolve(&self, principal: &Principal, now: Timestamp) -> Result<Option<Person>, DirectoryError> {
        for directory in &self.0 {
            if let Some(person) = directory.resolve(principal, now).await? {
                return Ok(Some(person));
            }
        }
        Ok(None)
    }

    async fn members(&self, role: &Role, now: Timestamp) -> Result<Members, DirectoryError> {
        let mut all = BTreeSet::new();
        for directory in &self.0 {
            match directory.members(role, now).await? {
                Members::Known(members) => all.extend(members),
                Members::Unknown => return Ok(Members::Unknown),
            }
        }
        Ok(Members::Known(all))
    }

    async fn knows(&self, person: &PersonId, now: Timestamp) -> Result<Option<bool>, DirectoryError> {
        let mut answer = Some(false);
        for directory in &self.0 {
            match directory.knows(person, now).await? {
                Some(true) => return Ok(Some(true)),
                Some(false) => {}
                None => answer = None,
            }
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::people::PeopleFile;
    use crate::policy::Format;

    fn people(source: &str) -> Arc<dyn Directory> {
        Arc::new(PeopleFile::parse(source, Format::Toml, "people.toml").unwrap())
    }

    fn two() -> Directories {
        Directories::new([
            people(
                "[[people]]\nname = \"Ada\"\nprincipals = [\"a|1\", \"b|1\"]\nroles = [\"sre\"]\n\
                 [[people]]\nname = \"Eve\"\nprincipals = [\"a|3\"]\nroles = [\"sre\"]\ndisabled = true",
            ),
            people(
                "[[people]]\nname = \"Bob\"\nprincipals = [\"a|2\"]\nroles = [\"dev\"]\n\
                 [[people]]\nname = \"Eve two\"\nprincipals = [\"a|3\"]\nroles = [\"sre\"]",
            ),
        ])
    }

    #[derive(Debug)]
    struct Away;

    #[async_trait]
    impl Directory for Away {
        async fn resolve(&self, _: &Principal, _: Timestamp) -> Result<Option<Person>, DirectoryError> {
            Err(DirectoryError {
                source: "away".into(),
            })
        }

        async fn members(&self, _: &Role, _: Timestamp) -> Result<Members, DirectoryError> {
            Ok(Members::Unknown)
        }
    }

    mod laws {
        use super::*;
        use crate::testing::directory::Cast;

        async fn directories() -> ((), Arc<dyn Directory>, Cast) {
            let cast = Cast {
                same: ["a|1", "b|1"].map(|text| text.parse().unwrap()),
                other: "a|2".parse().unwrap(),
                disabled: "a|3".parse().unwrap(),
                role: Role::new("sre").unwrap(),
                now: Timestamp::UNIX_EPOCH,
            };
            ((), Arc::new(two()), cast)
        }

        crate::directory_laws!(directories);
    }

    #[tokio::test]
    async fn the_first_that_knows_answers_and_silence_is_no_answer() {
        let (now, role) = (Timestamp::UNIX_EPOCH, Role::new("dev").unwrap());
        let eve = two()
            .resolve(&"a|3".parse().unwrap(), now)
            .await
            .unwrap()
            .unwrap();
        assert!(eve.disabled && eve.name == "Eve");
        assert_eq!(
            two().members(&role, now).await.unwrap(),
            Members::Known(BTreeSet::from([PersonId::new("bob").unwrap()]))
        );
        let with = |directories: [Arc<dyn Directory>; 2]| Directories::new(directories);
        let ada = "a|1".parse().unwrap();
        let first_away = with([Arc::new(Away), Arc::new(two())]);
        assert!(first_away.resolve(&ada, now).await.is_err());
        let last_away = with([Arc::new(two()), Arc::new(Away)]);
        assert!(last_away.resolve(&ada, now).await.unwrap().is_some());
        assert!(last_away.resolve(&"a|9".parse().unwrap(), now).await.is_err());
        assert_eq!(last_away.members(&role, now).await.unwrap(), Members::Unknown);
        for (directories, id, known) in [
            (two(), "bob", Some(true)),
            (two(), "zoe", Some(false)),
            (last_away.clone(), "bob", Some(true)),
            (first_away.clone(), "zoe", None),
        ] {
            let id = PersonId::new(id).unwrap();
            assert_eq!(directories.knows(&id, now).await.unwrap(), known, "{id}");
        }
        assert_eq!(Directories::new([]).resolve(&ada, now).await.unwrap(), None);
    }
}
