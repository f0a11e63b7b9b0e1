//! Times, lengths of time, states and sets of people in plain words.

use std::fmt;

use chrono::SecondsFormat;
use jit_core::approval::event::EndCause;
use jit_core::approval::request::Request;
use jit_core::approval::state::State;
use jit_core::id::{PersonId, Timestamp};
use jit_core::policy::terms::{BreakGlassTerms, MfaTerms, People, ResourceDef, Scope, StageTerms, Terms};
use jit_core::policy::text::clean;
use jit_core::span::Span;

use crate::view::filled;

/// A moment: for programs, and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) iso: String,
    /// When that was said: a page counts from it, not from what its reader's clock shows.
    pub(super) now: String,
    pub(super) near: String,
    at: String,
    clock: String,
    today: bool,
}

impl Moment {
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        let today = at.date_naive() == now.date_naive();
        let told = |time: &str| {
            let day = if today { "" } else { "%-d %b %Y, " };
            at.format(&format!("{day}{time} UTC")).to_string()
        };
        let text = |at: Timestamp| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let seconds = at.signed_duration_since(now).num_seconds();
        Self {
            iso: text(at),
            now: text(now),
            near: match seconds {
                0 => "now".to_owned(),
                1.. => format!("in {}", far(seconds.unsigned_abs())),
                -59..0 => "just now".to_owned(),
                _ => format!("{} ago", far(seconds.unsigned_abs() / 60 * 60)),
            },
            at: told("%H:%M"),
            clock: told("%H:%M:%S"),
            today,
        }
    }

    /// Without how far away it is.
    pub(super) fn exact(&self) -> &str {
        &self.at
    }

    /// The same to the second, for what is read beside other logs.
    pub(super) fn clock(&self) -> &str {
        &self.clock
    }

    /// Without how far away it is, in a sentence.
    pub(super) fn when(&self) -> String {
        let word = if self.today { "at" } else { "on" };
        format!("{word} {}", self.at)
    }
}

/// How far away a moment is: to the second in the last two minutes, to the minute before. `assets/console.js` says the same.
fn far(seconds: u64) -> String {
    let shown = if seconds < 120 { seconds } else { seconds / 60 * 60 };
    counted(shown.saturating_mul(1000))
}

/// A moment that a page counts down to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Countdown {
    pub(super) at: Moment,
    /// What is said of it: `in` how long it is, or how long is `left`.
    pub(super) says: &'static str,
    pub(super) text: String,
    /// What comes then.
    pub(super) what: &'static str,
}

impl Countdown {
    /// To what comes next for a request, if that comes by itself.
    pub(super) fn of(request: &Request, now: Timestamp) -> Option<Self> {
        let grant = request.grant.as_ref();
        let (at, says, what) = match request.state {
            State::Pending => (request.pending_until, "left", "to be answered"),
            State::Scheduled | State::Active => {
                let grant = grant?;
                if grant.not_before > now {
                    (grant.not_before, "in", "it opens")
                } else {
                    (grant.not_after, "left", "until it ends")
                }
            }
            _ => return None,
        };
        let left = at.signed_duration_since(now).num_milliseconds();
        let far = far(u64::try_from(left).ok().filter(|left| *left > 0)?.div_ceil(1000));
        Some(Self {
            at: Moment::new(at, now),
            says,
            text: match says {
                "in" => format!("in {far}"),
                _ => format!("{far} left"),
            },
            what,
        })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.near, self.at)
    }
}

/// A length of time, its two largest parts.
pub(super) fn length(span: Span) -> String {
    counted(span.as_millis())
}

fn counted(millis: u64) -> String {
    let seconds = millis / 1000;
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(count, _)| *count > 0);
    let shown = parts.iter().skip(first.unwrap_or(parts.len())).take(2);
    let shown: Vec<String> = shown
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if shown.is_empty() {
        format!("{millis} ms")
    } else {
        shown.join(" ")
    }
}

/// A state as a word with a colour of its own; the colour is never all that tells it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Badge {
    pub(super) class: &'static str,
    pub(super) word: &'static str,
}

impl From<State> for Badge {
    fn from(state: State) -> Self {
        let (class, word) = match state {
            State::Pending => ("waits", "Waiting"),
            State::Scheduled => ("waits", "Scheduled"),
            State::Active => ("open", "Active"),
            State::Denied => ("no", "Denied"),
            State::Withdrawn => ("over", "Taken back"),
            State::TimedOut => ("over", "Timed out"),
            State::Expired => ("over", "Over"),
            State::IdleExpired => ("over", "Ended idle"),
            State::Unused => ("over", "Ended unused"),
            State::Exhausted => ("over", "Used up"),
            State::Released => ("over", "Given back"),
            State::Revoked => ("no", "Revoked"),
        };
        Self { class, word }
    }
}

/// Where a request stands, in a sentence or two.
pub(super) fn standing(request: &Request, now: Timestamp) -> String {
    let grant = request.grant.as_ref();
    match request.state {
        State::Pending => {
            let stages = &request.ruling.terms.stages;
            match stages.get(usize::from(request.stage)) {
                Some(stage) => format!(
                    "It waits for {}; {} of {} so far. Unanswered, it ends {}.",
                    people(&stage.approvers),
                    filled(request, usize::from(request.stage)),
                    stage.quorum,
                    Moment::new(request.pending_until, now).when(),
                ),
                None => "It is being granted.".to_owned(),
            }
        }
        State::Scheduled => match grant {
            Some(grant) => format!(
                "Approved. It opens {}.",
                Moment::new(grant.not_before, now).when()
            ),
            None => "Approved.".to_owned(),
        },
        State::Active => match grant {
            Some(grant) if grant.not_before > now => {
                format!(
                    "Approved. It opens {}.",
                    Moment::new(grant.not_before, now).when()
                )
            }
            // Whatever is written down by now.
            Some(grant) if grant.not_after <= now => "Its time is over.".to_owned(),
            Some(grant) => format!(
                "It is open, and ends {}.",
                Moment::new(grant.not_after, now).when()
            ),
            None => "It is open.".to_owned(),
        },
        state => {
            let end = request.end.as_ref();
            let how = ended(request, state, end.map(|end| &end.cause));
            match end {
                Some(end) => format!("{how} That was {}.", Moment::new(end.at, now)),
                None => how,
            }
        }
    }
}

/// How something ended.
pub(super) fn ended(request: &Request, state: State, cause: Option<&EndCause>) -> String {
    let who = match cause {
        Some(EndCause::Person { person, .. }) => Some(name(request, person)),
        _ => None,
    };
    let by = |verb: &str| match &who {
        Some(who) => format!("{who} {verb}."),
        None => format!("Somebody {verb}."),
    };
    match (state, cause) {
        (State::Denied, _) => by("said no"),
        (State::Withdrawn, _) => by("took it back"),
        (State::Released, _) => by("gave it back"),
        (State::TimedOut, _) => "Nobody decided in time.".to_owned(),
        (State::Expired, _) => "Its time is over.".to_owned(),
        (State::IdleExpired, _) => "It was not used for too long.".to_owned(),
        (State::Unused, _) => "It was not used in time.".to_owned(),
        (State::Exhausted, _) => "What it allowed is used up.".to_owned(),
        (_, Some(EndCause::Lockdown(_))) => "A lockdown ended it.".to_owned(),
        (_, Some(EndCause::Parent(_))) => "The grant that it continued was revoked.".to_owned(),
        (_, Some(EndCause::Policy)) => "The policy no longer permits it.".to_owned(),
        (_, Some(EndCause::Recheck)) => {
            "The requester, or someone who approved, was no longer eligible.".to_owned()
        }
        _ => by("ended it"),
    }
}

/// What someone in a request is called: their id, where the request does not know more.
pub(super) fn name(request: &Request, person: &PersonId) -> String {
    if *person == request.requester.person {
        return clean(&request.requester.name);
    }
    let review = request.reviews.iter().find(|review| review.person == *person);
    review.map_or_else(|| person.to_string(), |review| clean(&review.name))
}

/// Anyone of these.
pub(super) fn people(people: &People) -> String {
    let roles = people.roles.iter().map(|role| format!("role {role}"));
    let persons = people.persons.iter().map(ToString::to_string);
    let all: Vec<String> = roles.chain(persons).collect();
    if all.is_empty() {
        "nobody".to_owned()
    } else {
        all.join(" or ")
    }
}

/// What a stage wants.
pub(super) fn stage(stage: &StageTerms) -> String {
    let approvals = if stage.quorum == 1 {
        "approval"
    } else {
        "approvals of different people"
    };
    let mut said = format!("{} {approvals}, by {}", stage.quorum, people(&stage.approvers));
    if let (Some(after), Some(more)) = (stage.escalate_after, &stage.escalate_to) {
        said.push_str(&format!("; after {} also {}", length(after), people(more)));
    }
    if let Some(terms) = &stage.mfa {
        said.push_str(&format!("; they need {}", sign_in(terms)));
    }
    said
}

/// How someone must have signed in.
pub(super) fn sign_in(terms: &MfaTerms) -> String {
    let mut said = match (terms.acr.is_empty(), terms.amr.is_empty()) {
        (true, true) => "a sign-in with a second factor".to_owned(),
        (false, true) => format!("a sign-in of class {}", terms.acr.join(" or ")),
        (true, false) => format!("a sign-in by {}", list(&terms.amr)),
        (false, false) => format!(
            "a sign-in of class {} by {}",
            terms.acr.join(" or "),
            list(&terms.amr)
        ),
    };
    if let Some(age) = terms.max_age {
        said.push_str(&format!(" at most {} ago", length(age)));
    }
    said
}

/// Who must agree, one line for each stage. `whole`: with the conditions under which nobody has to.
pub(super) fn agreement(terms: &Terms, whole: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if terms.automatic.always {
        lines.push("Nobody has to agree: it is granted at once.".to_owned());
    }
    let total = terms.stages.len();
    for (number, each) in terms.stages.iter().enumerate() {
        lines.push(if total > 1 {
            format!("{}. {}: {}", number + 1, each.name, stage(each))
        } else {
            format!("{}: {}", each.name, stage(each))
        });
    }
    if !whole && !terms.automatic.rules.is_empty() {
        lines.push("At once in some cases.".to_owned());
        return lines;
    }
    for rule in &terms.automatic.rules {
        let most = rule
            .max
            .map_or_else(String::new, |max| format!(", for at most {}", length(max)));
        lines.push(format!("At once{most}, when {}", clean(&rule.when)));
    }
    lines
}

/// What breaking the glass means.
pub(super) fn glass(terms: &BreakGlassTerms) -> String {
    format!(
        "For at most {}. Everyone who would have been asked is told, and another person looks into it within {}.",
        length(terms.max),
        length(terms.review_within)
    )
}

/// The methods that are opened.
pub(super) fn methods(resource: &ResourceDef, scope: &Scope) -> String {
    let methods = if scope.methods.is_empty() {
        &resource.methods
    } else {
        &scope.methods
    };
    if methods.is_empty() {
        "every method".to_owned()
    } else {
        list(methods)
    }
}

/// The paths that are opened, with all that is below each.
pub(super) fn paths(resource: &ResourceDef, scope: &Scope) -> Vec<String> {
    let paths = if scope.paths.is_empty() {
        &resource.paths
    } else {
        &scope.paths
    };
    paths.iter().map(|path| clean(path)).collect()
}

pub(super) fn list<'a>(entries: impl IntoIterator<Item = &'a String>) -> String {
    let entries: Vec<&str> = entries.into_iter().map(String::as_str).collect();
    entries.join(", ")
}

/// `text` as a query's value.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::sample::{active, at, pending, person, principal};

    #[test]
    fn a_moment_is_near_and_exact() {
        for (seconds, shown) in [
            (0, "now (09:00 UTC)"),
            (59, "in 59 s (09:00 UTC)"),
            (119, "in 1 min 59 s (09:01 UTC)"),
            (779, "in 12 min (09:12 UTC)"),
            (5459, "in 1 h 30 min (10:30 UTC)"),
            (-59, "just now (08:59 UTC)"),
            (-90, "1 min ago (08:58 UTC)"),
            (-3600, "1 h ago (08:00 UTC)"),
            (86_400, "in 1 d (2 Mar 2026, 09:00 UTC)"),
        ] {
            let moment = Moment::new(at(0) + TimeDelta::seconds(seconds), at(0));
            assert_eq!(moment.to_string(), shown);
        }
    }

    #[test]
    fn what_comes_next_is_counted_down_to() {
        let text = |view: &jit_core::broker::View, now| {
            let next = Countdown::of(&view.request, now)?;
            Some(format!("{}, {}", next.text, next.what))
        };
        let (mut view, end) = (pending(), pending().request.pending_until);
        for (before, says) in [
            (3599, Some("59 min left, to be answered")),
            (120, Some("2 min left, to be answered")),
            (119, Some("1 min 59 s left, to be answered")),
            (1, Some("1 s left, to be answered")),
            (0, None),
            (-5, None),
        ] {
            let now = end - TimeDelta::seconds(before);
            assert_eq!(text(&view, now).as_deref(), says, "{before} s before");
        }
        let open = active();
        assert_eq!(text(&open, at(10)).as_deref(), Some("55 min left, until it ends"));
        let begins = open.request.grant.as_ref().unwrap().not_before;
        let early = begins - TimeDelta::seconds(300);
        assert_eq!(text(&open, early).as_deref(), Some("in 5 min, it opens"));
        view.request.state = State::Denied;
        assert_eq!(text(&view, at(2)), None);
    }

    #[test]
    fn a_length_is_told_by_its_two_largest_parts() {
        for (text, told) in [
            ("30m", "30 min"),
            ("1h 30m", "1 h 30 min"),
            ("90s", "1 min 30 s"),
            ("2days", "2 d"),
            ("1day 1s", "1 d"),
            ("5ms", "5 ms"),
        ] {
            assert_eq!(length(text.parse().unwrap()), told);
        }
    }

    #[test]
    fn where_it_stands_names_who_has_it() {
        assert_eq!(
            standing(&pending().request, at(2)),
            "It waits for role sre-lead; 1 of 2 so far. Unanswered, it ends at 10:00 UTC."
        );
        assert_eq!(
            standing(&active().request, at(10)),
            "It is open, and ends at 10:05 UTC."
        );
        let mut view = pending();
        view.request.state = State::Denied;
        let cause = EndCause::Person {
            principal: principal("bob"),
            person: person("bob"),
        };
        assert_eq!(ended(&view.request, State::Denied, Some(&cause)), "Bob said no.");
    }

    #[test]
    fn a_value_stays_in_its_place() {
        assert_eq!(encoded("a b&c=d/é"), "a%20b%26c%3Dd%2F%C3%A9");
    }
}
