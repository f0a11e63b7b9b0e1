//! What a policy makes of a request, and of an asking: the same code that a gate and a broker run.

use std::fmt;

use http::header::HOST;
use http::{Method, Request, Uri, request};
use jit_core::approval::ask::{Actor, Ask, Route, Ruling};
use jit_core::approval::refused::Refused;
use jit_core::gate::rules::Governed;
use jit_core::gate::target::{BadTarget, Target};
use jit_core::id::{ResourceName, Timestamp};
use jit_core::policy::terms::{OpenDef, covers};

use super::super::exit::Failure;
use super::super::inert::inert;
use super::files::Ruled;

/// What governs one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A grant for this resource is needed.
    Protected(ResourceName),
    /// It reads like this resource, but no grant admits this spelling of it.
    Spelling(ResourceName),
    /// Everyone may, by the `[[open]]` entries of these numbers.
    Open(Vec<usize>),
    /// No rule speaks of it.
    Nothing,
    /// No rule speaks of its host.
    UnknownHost,
    /// No gate takes such a request.
    Bad(BadTarget),
    /// It is no HTTP request at all.
    Malformed,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protected(resource) => write!(f, "protected by resource {resource}: a grant is needed"),
            Self::Spelling(resource) => write!(
                f,
                "denied to everyone: it reads like resource {resource}, and no grant admits this spelling or method"
            ),
            Self::Open(_) => f.write_str("open to everyone"),
            Self::Nothing => f.write_str("denied to everyone: no resource and no [[open]] entry covers it"),
            Self::UnknownHost => f.write_str("denied to everyone: no rule names its host"),
            Self::Bad(why) => write!(f, "refused: {why}"),
            Self::Malformed => f.write_str("refused: it is no HTTP request"),
        }
    }
}

/// A request as it is written on a command line or in a file: a method, and a target that is a URL or is for `host`.
pub(super) fn request(method: &str, target: &str, host: Option<&str>) -> Option<request::Parts> {
    let uri: Uri = target.parse().ok()?;
    let named = uri.authority().map(|authority| authority.as_str().to_owned());
    let host = host.map(str::to_owned).or(named);
    let mut request = Request::builder().method(method).uri(uri);
    if let Some(host) = host {
        request = request.header(HOST, host);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

impl Ruled {
    /// What governs a request.
    pub(super) fn place(&self, parts: Option<&request::Parts>) -> Place {
        let Some(parts) = parts else {
            return Place::Malformed;
        };
        let target = match Target::read(parts) {
            Ok(target) => target,
            Err(bad) => return Place::Bad(bad),
        };
        match self.rules.govern(&target, &parts.method) {
            Governed::UnknownHost => Place::UnknownHost,
            Governed::Protected {
                resource,
                exact: true,
            } => Place::Protected(resource.def().name.clone()),
            Governed::Protected {
                resource,
                exact: false,
            } => Place::Spelling(resource.def().name.clone()),
            Governed::Open => Place::Open(self.opened_by(&target, &parts.method)),
            Governed::Nothing => Place::Nothing,
        }
    }

    fn opened_by(&self, target: &Target<'_>, method: &Method) -> Vec<usize> {
        let opens = |entry: &OpenDef| {
            let host = entry
                .hosts
                .iter()
                .any(|host| jit_core::gate::target::host_matches(host, target.host().as_str()));
            // HEAD counts as GET, as the gate has it.
            let name = if method == Method::HEAD && entry.methods.contains("GET") {
                "GET"
            } else {
                method.as_str()
            };
            let method = entry.methods.is_empty() || entry.methods.contains(name);
            host && method
                && entry
                    .paths
                    .iter()
                    .any(|path| covers(path, target.path().as_str()))
        };
        let entries = self.policy.open().iter().enumerate();
        entries
            .filter(|(_, entry)| opens(entry))
            .map(|(n, _)| n)
            .collect()
    }

    /// What the policy makes of an asking.
    pub(super) fn ruling(&self, ask: &Ask, actor: &Actor, now: Timestamp) -> Answer {
        match self.policy.rule(ask, actor, now) {
            Ok(ruling) => Answer::Ruled(Box::new(ruling)),
            Err(refused) => Answer::Refused(refused),
        }
    }
}

/// What a policy makes of an asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Ruled(Box<Ruling>),
    Refused(Refused),
}

/// `GET https://host/path`, or a URL alone, which is a GET.
pub(super) fn read_request(text: &str, method: &str) -> Result<(String, request::Parts), Failure> {
    let (method, target) = match text.split_once(' ') {
        Some((method, target)) => (method, target.trim()),
        None => (method, text),
    };
    let shown = inert(&format!("{method} {target}"));
    let parts = request(method, target, None).filter(|parts| parts.uri.authority().is_some());
    match parts {
        Some(parts) => Ok((shown, parts)),
        None => Err(Failure::failed(format!(
            "{shown:?} is no request; write something like GET https://app.example.com/admin"
        ))),
    }
}

/// One word for what came out, as cases name it.
pub(super) fn place_word(place: &Place) -> &'static str {
    match place {
        Place::Protected(_) => "protected",
        Place::Open(_) => "open",
        Place::Spelling(_) | Place::Nothing => "denied",
        Place::UnknownHost => "unknown-host",
        Place::Bad(_) | Place::Malformed => "bad-request",
    }
}

/// One word for what came out, as cases name it.
pub(super) fn answer_word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Ruled(ruling) => match ruling.route {
            Route::Stages => "stages",
            Route::Automatic { .. } => "automatic",
            Route::BreakGlass => "break-glass",
        },
        Answer::Refused(refused) => match refused {
            Refused::StepUp { .. } => "step-up",
            Refused::Invalid { .. } => "invalid",
            // What else there is, only a broker says.
            _ => "not-eligible",
        },
    }
}

/// Every word that a case may expect.
pub(super) const WORDS: [&str; 11] = [
    "protected",
    "open",
    "denied",
    "unknown-host",
    "bad-request",
    "stages",
    "automatic",
    "break-glass",
    "step-up",
    "invalid",
    "not-eligible",
];
