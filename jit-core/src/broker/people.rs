//! The people file: the embedded [`Directory`], for small set-ups, demos and tests.
//!
//! ```toml
//! [[people]]
//! name = "Ada Lovelace"                                     # for people to read; the id is made from it unless `id` is given
//! principals = ["https://idp.example.com|00u1", { issuer = "https://ci.example.com", subject = "ada" }]
//! roles = ["sre", "sre-lead"]
//! token_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"   # printf %s "$TOKEN" | sha256sum
//! totp_secret_file = "ada.totp"                             # or totp_secret = "…": base32, as the authenticator app has it
//! ```
//!
//! # Rules
//! 1. A principal, an id and a token belong to one person. The second use of one is an error: else quorum could be filled by one
//!    human twice, or one token open two doors.
//! 2. A person without `principals` has one: `people|` and the id. It can be proven by that person's token only.
//! 3. `token_sha256` is SHA-256 of a token of at least 128 random bits; the file never holds the token. `token`, in clear, is for demos:
//!    it must start with `demo-`, so that nobody takes it for a secret.
//! 4. `totp_secret` and the file that `totp_secret_file` names hold one secret in base32 (RFC 4648 §6; small letters, spaces, dashes and the
//!    padding don't matter) of 128 to 1024 bits, for [`gate::totp`](crate::gate::totp). It belongs to one person, and must look random. A
//!    file's name is relative to the people file's. The secret has to be readable to be checked: keep either file from others' eyes. A
//!    `totp_secret_file` that its group or others have any right to is refused, where there are such rights: `chmod 600`.
//! 5. `disabled = true` keeps a person known, so that the id is not given to someone else, and makes them nobody.
//!
//! # Caveats
//! - A change shows with [`PeopleFile::replace`], at once and for everything in the new file. What to watch and when to read it again
//!   is the caller's business.
//! - A file with a TOTP secret is read when the people file is.
//! - A person's id must stay: rename someone by adding `id` with the old id first. Remove nobody, disable them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use super::directory::{Directory, DirectoryError, Members, Person};
use crate::id::{Digest, PersonId, Principal, Role, TEXT_MAX, Timestamp};
use crate::policy::{Format, text};

mod secret;
mod source;

pub use secret::TotpSecret;
pub use source::{PeopleError, PeopleErrors};
use source::{RawPerson, RawPrincipal};

/// Shortest demo token, in bytes.
const DEMO_TOKEN_MIN: usize = 8;

/// An API token that the people file knows, by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeopleToken {
    /// SHA-256 of the token's bytes: [`Digest::plain`].
    pub sha256: Digest,
    /// What the token proves: the person's first principal.
    pub principal: Principal,
    /// Whose it is.
    pub person: PersonId,
    /// It stands in the file in clear. Production should refuse it.
    pub is_demo: bool,
}

/// A people file, read and checked: a [`Directory`] whose content can be replaced.
pub struct PeopleFile {
    table: ArcSwap<Table>,
}

#[derive(Debug, Default)]
struct Table {
    persons: BTreeMap<PersonId, Entrant>,
    principals: HashMap<Principal, PersonId>,
    members: HashMap<Role, BTreeSet<PersonId>>,
    tokens: HashMap<Digest, PeopleToken>,
    totp: HashMap<PersonId, TotpSecret>,
}

#[derive(Debug)]
struct Entrant {
    name: String,
    roles: BTreeSet<Role>,
    disabled: bool,
}

impl Entrant {
    fn person(&self, id: &PersonId, now: Timestamp) -> Person {
        Person {
            id: id.clone(),
            name: self.name.clone(),
            roles: self.roles.clone(),
            disabled: self.disabled,
            as_of: now,
        }
    }
}

impl PeopleFile {
    /// Reads `source`, which is called `file_name` in errors.
    ///
    /// A `totp_secret_file` is looked for beside `file_name`.
    ///
    /// # Errors
    /// [`PeopleErrors`]: every entry that is not right, with its line and what to write instead. No error quotes a token or a secret.
    pub fn parse(source: &str, format: Format, file_name: &str) -> Result<Self, PeopleErrors> {
        let mut reader = Reader {
            folder: Path::new(file_name).parent().unwrap_or(Path::new("")).to_owned(),
            ..Reader::default()
        };
        for (line, raw) in
            source::read(source, format).map_err(|error| PeopleErrors::new(file_name, vec![error]))?
        {
            reader.take(line, raw);
        }
        if !reader.errors.is_empty() {
            let mut errors = reader.errors;
            if format == Format::Toml {
                errors.iter_mut().for_each(|error| error.find_key(source));
            }
            return Err(PeopleErrors::new(file_name, errors));
        }
        Ok(Self {
            table: ArcSwap::from_pointee(reader.table),
        })
    }

    /// Takes over the content of `newer`, as one step: a lookup sees all of the old file or all of the new one.
    pub fn replace(&self, newer: Self) {
        self.table.store(newer.table.into_inner());
    }

    /// Every token of those who are not disabled, in the order of person ids.
    pub fn tokens(&self) -> Vec<PeopleToken> {
        let table = self.table.load();
        let mut tokens: Vec<_> = table
            .tokens
            .values()
            .filter(|token| table.is_enabled(&token.person))
            .cloned()
            .collect();
        tokens.sort_by(|a, b| a.person.cmp(&b.person));
        tokens
    }

    /// The token that has this hash, unless its person is disabled. Nothing is compared byte by byte against a secret: who can't
    /// invert SHA-256 learns nothing from how long this takes.
    pub fn token(&self, sha256: &Digest) -> Option<PeopleToken> {
        let table = self.table.load();
        let token = table.tokens.get(sha256)?;
        table.is_enabled(&token.person).then(|| token.clone())
    }

    /// The secret that this person's authenticator app shares, unless they are disabled.
    pub fn totp_secret(&self, person: &PersonId) -> Option<TotpSecret> {
        let table = self.table.load();
        let secret = table.totp.get(person)?;
        table.is_enabled(person).then(|| secret.clone())
    }

    /// Everyone it knows, disabled ones included, in the order of their ids.
    pub fn persons(&self, now: Timestamp) -> Vec<Person> {
        let table = self.table.load();
        let persons = table.persons.iter();
        persons.map(|(id, entrant)| entrant.person(id, now)).collect()
    }

    /// The principals of this person, in order. Empty for one whom it does not know.
    pub fn principals(&self, person: &PersonId) -> BTreeSet<Principal> {
        let table = self.table.load();
        let principals = table.principals.iter();
        principals
            .filter(|(_, owner)| *owner == person)
            .map(|(principal, _)| principal.clone())
            .collect()
    }

    /// Every principal with its person, in no order.
    pub fn identities(&self) -> Vec<(Principal, PersonId)> {
        let table = self.table.load();
        let identities = table.principals.iter();
        identities
            .map(|(principal, person)| (principal.clone(), person.clone()))
            .collect()
    }

    /// How many people it knows, disabled ones included.
    pub fn len(&self) -> usize {
        self.table.load().persons.len()
    }

    /// Whether it knows nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How many, not who.
impl fmt::Debug for PeopleFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeopleFile")
            .field("people", &self.len())
            .finish_non_exhaustive()
    }
}

impl Table {
    fn is_enabled(&self, person: &PersonId) -> bool {
        self.persons.get(person).is_some_and(|entrant| !entrant.disabled)
    }
}

#[async_trait]
impl Directory for PeopleFile {
    async fn resolve(&self, principal: &Principal, now: Timestamp) -> Result<Option<Person>, DirectoryError> {
        let table: Arc<Table> = self.table.load_full();
        let found = table
            .principals
            .get(principal)
            .and_then(|id| table.persons.get_key_value(id));
        Ok(found.map(|(id, entrant)| entrant.person(id, now)))
    }

    async fn members(&self, role: &Role, _now: Timestamp) -> Result<Members, DirectoryError> {
        let table = self.table.load();
        Ok(Members::Known(
            table.members.get(role).cloned().unwrap_or_default(),
        ))
    }

    async fn knows(&self, person: &PersonId, _now: Timestamp) -> Result<Option<bool>, DirectoryError> {
        Ok(Some(self.table.load().persons.contains_key(person)))
    }
}

/// Builds the table entry by entry and collects what is wrong.
#[derive(Default)]
struct Reader {
    /// Where the people file is.
    folder: PathBuf,
    table: Table,
    errors: Vec<PeopleError>,
}

impl Reader {
    fn take(&mut self, line: usize, raw: RawPerson) {
        let mut wrong = |problem: String, mend: &str| self.errors.push(PeopleError::new(line, problem, mend));

        let name = raw.name;
        if name.is_empty() || name.len() > TEXT_MAX || text::clean(&name) != name {
            wrong(
                format!(
                    "the name {:?} is empty, too long, padded, or not plain text",
                    text::clean(&name)
                ),
                "write 1 to 256 bytes of printable text, without spaces around it",
            );
        }
        let id = raw.id.unwrap_or_else(|| slug(&name));
        let id = match PersonId::new(&id) {
            Ok(id) => id,
            Err(error) => return wrong(format!("the {error}"), "give this person a plain `id`"),
        };
        if self.table.persons.contains_key(&id) {
            return wrong(
                format!("the id {:?} is taken by an entry above", id.as_str()),
                "give each person an `id` of their own; one human with several logins is one entry with several `principals`",
            );
        }

        let mut roles = BTreeSet::new();
        for role in raw.roles {
            match Role::new(&role) {
                Ok(role) => drop(roles.insert(role)),
                Err(error) => wrong(format!("the {error}"), "write a role as the policy file names it"),
            }
        }

        let mut principals = Vec::new();
        for raw in raw.principals.unwrap_or_default() {
            match raw.parse() {
                Ok(principal) => principals.push(principal),
                Err(error) => wrong(
                    format!("the {error}"),
                    "write \"issuer|subject\" or { issuer = \"…\", subject = \"…\" }",
                ),
            }
        }
        if principals.is_empty() {
            match Principal::new("people", id.as_str()) {
                Ok(own) => principals.push(own),
                Err(error) => wrong(
                    format!("the {error}"),
                    "list `principals`, or give this person a plain `id`",
                ),
            }
        }
        for principal in &principals {
            match self.table.principals.entry(principal.clone()) {
                Entry::Vacant(free) => drop(free.insert(id.clone())),
                Entry::Occupied(taken) => wrong(
                    format!(
                        "the principal {principal} stands here and at {:?}",
                        taken.get().as_str()
                    ),
                    "a principal belongs to one person, once: remove it from one of the two",
                ),
            }
        }

        match (token(raw.token_sha256, raw.token), principals.into_iter().next()) {
            (Err((problem, mend)), _) => wrong(problem.to_owned(), mend),
            (Ok(Some((sha256, is_demo))), Some(principal)) => match self.table.tokens.entry(sha256) {
                Entry::Vacant(free) => {
                    let person = id.clone();
                    free.insert(PeopleToken {
                        sha256,
                        principal,
                        person,
                        is_demo,
                    });
                }
                Entry::Occupied(taken) => wrong(
                    format!("the token is the one of {:?}", taken.get().person.as_str()),
                    "make a new token for each person",
                ),
            },
            (Ok(_), _) => {}
        }

        match secret::read(raw.totp_secret, raw.totp_secret_file, &self.folder) {
            Err((problem, mend)) => wrong(problem, &mend),
            Ok(Some(secret)) => match self.table.totp.iter().find(|(_, known)| **known == secret) {
                Some((other, _)) => wrong(
                    format!("the TOTP secret is the one of {:?}", other.as_str()),
                    "make a new secret for each person",
                ),
                None => drop(self.table.totp.insert(id.clone(), secret)),
            },
            Ok(None) => {}
        }

        if !raw.disabled {
            for role in &roles {
                self.table
                    .members
                    .entry(role.clone())
                    .or_default()
                    .insert(id.clone());
            }
        }
        let disabled = raw.disabled;
        self.table.persons.insert(
            id,
            Entrant {
                name,
                roles,
                disabled,
            },
        );
    }
}

/// `Ada  Lovelace` → `ada-lovelace`.
fn slug(name: &str) -> String {
    name.to_lowercase()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join("-")
}

/// The hash of the entry's token and whether it is a demo's; or what is wrong with it, without quoting it.
fn token(
    sha256: Option<String>,
    clear: Option<String>,
) -> Result<Option<(Digest, bool)>, (&'static str, &'static str)> {
    match (sha256, clear) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(("there are both `token_sha256` and `token`", "keep `token_sha256`")),
        (Some(hex), None) => match hex.parse() {
            Ok(digest) if digest == Digest::plain(b"") => Err((
                "`token_sha256` is the hash of nothing",
                "write the line that `jit token` prints, or the hash of your token: printf %s \"$TOKEN\" | sha256sum",
            )),
            Ok(digest) => Ok(Some((digest, false))),
            Err(_) => Err((
                "`token_sha256` is not 64 lower-case hex digits",
                "write the line that `jit token` prints, or the hash of your token: printf %s \"$TOKEN\" | sha256sum",
            )),
        },
        (None, Some(clear)) if clear.starts_with("demo-") && clear.len() >= DEMO_TOKEN_MIN => {
            Ok(Some((Digest::plain(clear.as_bytes()), true)))
        }
        (None, Some(_)) => Err((
            "`token` holds a token in clear that is not a demo's",
            "use `token_sha256` (printf %s \"$TOKEN\" | sha256sum); for a demo write \"demo-\" and at least 3 characters more",
        )),
    }
}

impl RawPrincipal {
    fn parse(self) -> Result<Principal, crate::id::ParseError> {
        match self {
            Self::Text(text) => text.parse(),
            Self::Table(named) => Principal::new(&named.issuer, &named.subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[people]]
name = "Ada Lovelace"
principals = ["https://idp.example.com|00u1", { issuer = "ci", subject = "ada" }]
roles = ["sre", "sre-lead"]
token_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

[[people]]
name = "Bob"
roles = ["dev"]
token = "demo-bob"

[[people]]
name = "Eve"
id = "e1"
roles = ["sre"]
disabled = true
token = "demo-eve"
"#;

    fn parse(source: &str) -> PeopleFile {
        PeopleFile::parse(source, Format::Toml, "people.toml").unwrap()
    }

    fn principal(text: &str) -> Principal {
        text.parse().unwrap()
    }

    fn moment() -> Timestamp {
        Timestamp::from_timestamp_micros(1_767_225_600_000_000).unwrap()
    }

    #[test]
    fn everyone_is_listed_with_their_principals() {
        let people = parse(GOOD);
        let persons = people.persons(moment());
        let ids: Vec<_> = persons
            .iter()
            .map(|person| (person.id.as_str(), person.disabled))
            .collect();
        assert_eq!(ids, [("ada-lovelace", false), ("bob", false), ("e1", true)]);
        for (id, expected) in [
            ("ada-lovelace", &["ci|ada", "https://idp.example.com|00u1"][..]),
            ("bob", &["people|bob"]),
            ("nobody", &[]),
        ] {
            let principals = people.principals(&PersonId::new(id).unwrap());
            assert_eq!(
                principals,
                expected.iter().map(|text| principal(text)).collect(),
                "{id}"
            );
        }
    }

    mod laws {
        use super::*;
        use crate::testing::directory::Cast;

        async fn people_file() -> ((), Arc<dyn Directory>, Cast) {
            let cast = Cast {
                same: [principal("https://idp.example.com|00u1"), principal("ci|ada")],
                other: principal("people|bob"),
                disabled: principal("people|e1"),
                role: Role::new("sre").unwrap(),
                now: moment(),
            };
            ((), Arc::new(parse(GOOD)), cast)
        }

        crate::directory_laws!(people_file);
    }

    #[tokio::test]
    async fn every_format_reads_the_same() {
        let json = r#"{"people": [
            {"name": "Ada Lovelace", "roles": ["sre"], "principals": ["idp|1", {"issuer": "ci", "subject": "ada"}],
             "token": "demo-ada"}]}"#;
        let yaml = "people:\n- name: Ada Lovelace\n  roles: [sre]\n  principals:\n  - idp|1\n  - {issuer: ci, subject: ada}\n  token: demo-ada\n";
        for (source, format) in [(json, "json"), (yaml, "yaml")] {
            if format == "yaml" && !cfg!(feature = "yaml") {
                continue;
            }
            let file = PeopleFile::parse(
                source,
                Format::of_path(format!("people.{format}")).unwrap(),
                "people",
            )
            .unwrap();
            let ada = file
                .resolve(&principal("ci|ada"), moment())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                (ada.id.as_str(), &*ada.name, ada.as_of),
                ("ada-lovelace", "Ada Lovelace", moment())
            );
            assert_eq!(ada.roles, BTreeSet::from([Role::new("sre").unwrap()]));
            assert_eq!(file.tokens()[0].principal, principal("idp|1"));
        }
    }

    #[test]
    fn tokens_are_listed_by_hash_and_die_with_their_person() {
        let file = parse(GOOD);
        let listed: Vec<_> = file
            .tokens()
            .iter()
            .map(|t| (t.person.to_string(), t.principal.to_string(), t.is_demo))
            .collect();
        assert_eq!(
            listed,
            [
                (
                    "ada-lovelace".to_owned(),
                    "https://idp.example.com|00u1".to_owned(),
                    false
                ),
                ("bob".to_owned(), "people|bob".to_owned(), true),
            ]
        );
        assert_eq!(
            file.token(&Digest::plain(b"test")).unwrap().person.as_str(),
            "ada-lovelace"
        );
        assert_eq!(file.token(&Digest::plain(b"demo-eve")), None, "disabled");
        assert_eq!(file.token(&Digest::plain(b"")), None);
        assert!(!format!("{file:?}").contains("9f86"));
    }

    #[tokio::test]
    async fn a_newer_file_takes_over_whole() {
        let file = parse(GOOD);
        file.replace(parse("[[people]]\nname = 'Bob'\nroles = ['sre']"));
        assert_eq!(file.resolve(&principal("ci|ada"), moment()).await.unwrap(), None);
        assert_eq!(file.tokens(), []);
        let sre = file.members(&Role::new("sre").unwrap(), moment()).await.unwrap();
        assert_eq!(
            sre,
            Members::Known(BTreeSet::from([PersonId::new("bob").unwrap()]))
        );
    }

    fn check(source: &str, format: Format, expected: &[(usize, &str)]) {
        let errors = PeopleFile::parse(source, format, "people.toml").unwrap_err();
        let found: Vec<_> = errors
            .iter()
            .map(|error| (error.line, error.to_string()))
            .collect();
        assert_eq!(found.len(), expected.len(), "{source}\n{errors}");
        for ((line, text), (want, part)) in found.iter().zip(expected) {
            assert!(
                line == want && text.contains(part),
                "{source}\n{errors}\nwant {want}: {part}"
            );
        }
        assert!(
            !["hunter2", "AAAA", "GEZD"]
                .iter()
                .any(|secret| errors.to_string().contains(secret)),
            "a token is quoted: {errors}"
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_mend() {
        let bob = "[[people]]\nname = 'Bob'\n";
        for (rest, expected) in [
            (
                "\n[[people]]\nname = 'bob'",
                [(4, "the id \"bob\" is taken")].as_slice(),
            ),
            ("\n[[people]]\nname = 'Rob'\nid = 'bob'", &[(4, "of their own")]),
            (
                "principals = ['a|1']\n[[people]]\nname='C'\nprincipals=['a|1']",
                &[(4, "the principal a|1 stands here and at \"bob\"")],
            ),
            (
                "principals = ['a|1', 'a|1']",
                &[(1, "belongs to one person, once")],
            ),
            ("principals = ['a']", &[(1, "issuer|subject")]),
            ("principals = [{issuer='a'}]", &[(3, "an entry has")]),
            ("principals = [{issuer='a', subject=' '}]", &[(1, "white space")]),
            (
                "[[people]]\nname='C'\nprincipals=['people|bob']",
                &[(3, "stands here and at \"bob\"")],
            ),
            ("roles = ['']", &[(1, "role is empty")]),
            ("token = 'hunter2-hunter2'", &[(3, "use `token_sha256`")]),
            ("token = 'demo-ab'", &[(3, "use `token_sha256`")]),
            ("token = 'DEMO-hunter2'", &[(3, "use `token_sha256`")]),
            ("token_sha256 = 'hunter2'", &[(3, "64 lower-case hex digits")]),
            (
                "token_sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
                &[(3, "hash of nothing")],
            ),
            ("token = 'demo-hunter2'\ntoken_sha256 = '00'", &[(4, "both")]),
            (
                "token = 'demo-hunter2'\n[[people]]\nname='C'\ntoken='demo-hunter2'",
                &[(4, "the token is the one of \"bob\"")],
            ),
            ("totp_secret = 'hunter2!'", &[(3, "`totp_secret` is not base32")]),
            (
                "totp_secret = 'JBSWY3DPEHPK3PXP'",
                &[(3, "`totp_secret` is 80 bits long, and needs 128")],
            ),
            (
                "totp_secret = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'",
                &[(3, "does not look random")],
            ),
            (
                "totp_secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'",
                &[(3, "does not look random")],
            ),
            (
                "totp_secret = 'AAAQEAYEAUDAOCAJBIFQYDIOB4'",
                &[(3, "does not look random")],
            ),
            (
                "totp_secret = 'A'\ntotp_secret_file = 'b'",
                &[(3, "both `totp_secret` and")],
            ),
            (
                "totp_secret_file = 'hunter3'",
                &[(3, "`totp_secret_file` can't be read")],
            ),
            (
                "totp_secret = 'JF4C2SLQGE3TCNJXGBYXOZLSOR4XK2LP'\n[[people]]\nname='C'\ntotp_secret='jf4c2slq ge3tcnjx-gbyxozls or4xk2lp=='",
                &[(4, "the TOTP secret is the one of \"bob\"")],
            ),
            ("tokn = 'demo-hunter2'", &[(3, "unknown field `tokn`")]),
            ("token = 'hunter2", &[(3, "an entry has")]),
            ("[[people]]\nroles=[]", &[(3, "missing field `name`")]),
            (
                "[[people]]\nname=' C'\n[[people]]\nname=\"\\u202e\"",
                &[(3, "padded"), (5, "printable"), (5, "the person id")],
            ),
            ("[people2]\n", &[(3, "unknown field `people2`")]),
        ] {
            check(&format!("{bob}{rest}"), Format::Toml, expected);
        }
    }

    #[test]
    fn a_totp_secret_may_stand_in_a_file_beside_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("bob.totp");
        std::fs::write(&secret, "jf4c 2slq ge3t cnjx gbyx ozls or4x k2lp\n").unwrap();
        let name = folder.path().join("people.toml");
        let read = || {
            let people = "[[people]]\nname = 'Bob'\ntotp_secret_file = 'bob.totp'";
            PeopleFile::parse(people, Format::Toml, name.to_str().unwrap())
        };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let chmod = |mode| std::fs::set_permissions(&secret, PermissionsExt::from_mode(mode)).unwrap();
            for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666] {
                chmod(mode);
                let error = read().unwrap_err().to_string();
                for part in [
                    format!("mode {mode:04o}"),
                    format!("chmod 600 {}", secret.display()),
                ] {
                    assert!(error.contains(&part), "{mode:o}: {error}");
                }
                assert!(!error.to_lowercase().contains("jf4c"), "{error}");
            }
            for mode in [0o400, 0o600] {
                chmod(mode);
                assert!(read().is_ok(), "{mode:o}");
            }
        }
        let file = read().unwrap();
        let secret = file.totp_secret(&"bob".parse().unwrap()).unwrap();
        let inline = parse("[[people]]\nname = 'Bob'\ntotp_secret = 'JF4C2SLQGE3TCNJXGBYXOZLSOR4XK2LP'");
        assert_eq!(
            Some(&secret),
            inline.totp_secret(&"bob".parse().unwrap()).as_ref()
        );
        assert_eq!(format!("{secret:?}"), "TotpSecret(<redacted>)");
    }

    #[test]
    fn the_other_formats_know_lines_too() {
        let json = "{\"people\": [\n {\"name\": \"Bob\"},\n {\"name\": \"C\",\n  \"tokn\": \"hunter2\"},\n {\"name\": \"bob\"}]}";
        check(json, Format::Json, &[(4, "unknown field `tokn`")]);
        check(
            "{\"people\": [\n {\"name\": \"Bob\"},\n {\"name\": \"bob\"}]}",
            Format::Json,
            &[(3, "is taken")],
        );
        check("{\"people\": [\n {\"name\": \"Bob\"", Format::Json, &[(2, "EOF")]);
        if cfg!(feature = "yaml") {
            check(
                "people:\n- name: Bob\n- name: C\n  tokn: hunter2\n",
                Format::Yaml,
                &[(4, "tokn")],
            );
            check(
                "people:\n- name: Bob\n- name: bob\n",
                Format::Yaml,
                &[(3, "is taken")],
            );
        } else {
            check("people: []", Format::Yaml, &[(0, "feature `yaml`")]);
        }
    }

    #[test]
    fn errors_print_as_file_and_line() {
        let errors = PeopleFile::parse("[[people]]\nname = ''", Format::Toml, "people.toml").unwrap_err();
        assert!(
            errors.to_string().starts_with("people.toml:1: the name"),
            "{errors}"
        );
    }
}
