//! Who may ask for what, for how long, on what conditions, and who must agree.
//!
//! A [`Policy`] is parsed from one file in TOML, YAML or JSON and is immutable from then on. It is pure: no clock, no I/O, `now`
//! is a parameter. A change of policy is a new [`Policy`].
//!
//! 1. A file is taken as a whole or not at all. A [`Report`] names every problem with file, line, and what mends it. Unknown keys
//!    are problems: a misspelt condition is not a condition that holds.
//! 2. Who must agree is explicit: a policy has stages, or says `approval = "automatic"`. Neither is an error, and so are both, a
//!    stage without approvers, and a quorum of 0. An empty set of people is nobody.
//! 3. Hosts and paths are written in the one spelling that the gate compares, or refused. Two resources never share a place and a
//!    method; an `[[open]]` entry never lies in a resource.
//! 4. Who may ask is settled before anything that they say is looked at, and every refusal on that way reads the same: an unknown
//!    resource can't be told from a forbidden one.
//! 5. What is asked for is inside the policy or refused, with the limit named. Nothing is clamped in silence.
//! 6. A request may name its policy; else the first in file order governs that the requester is eligible for. Whoever may break the
//!    glass need not be among those who may ask.
//! 7. A condition that can't be evaluated does not hold, and one that does not hold sends the request to people.
//! 8. Terms are snapshotted into each request ([`terms`]); a change of policy restates pending requests, and never turns one that
//!    people had to agree to into one that nobody has to. A grant that nobody had to agree to falls with the rule that said so.
//!
//! # Conditions
//! `automatic = [{ when = "…" }]` holds an expression in CEL, the Common Expression Language; it needs the feature `cel`. It sees
//! `subject` {issuer, subject, person, name, roles, claims, amr}, `resource` {name, tags, hosts}, `request` {reason, ticket, duration
//! (seconds), methods, paths, policy, break_glass} and `now` (seconds since 1970-01-01T00:00:00Z). A ticket that was not given is
//! `""`; `methods` and `paths` are those of the resource when the asking names none, and `methods` has `"*"` besides the usual ones
//! when the resource has every method. Claims are the issuer's word about the requester: test
//! none that its subject can set. There are no regular expressions and no timestamps.
//!
//! # Sign-in
//! `mfa` says how the requester must have signed in, in a stage how its reviewers must have, in `break_glass` how whoever breaks it
//! must have. `mfa = {}` asks for a second factor; `acr = ["gold", "silver"]` for one of these classes, the preferred first; `amr =
//! ["hwk"]` for one of these methods; both for both; `max_age = "15m"` for a sign-in (`auth_time`) not older than that. What the
//! proof of identity does not say is not satisfied, and a sign-in in the future is not believed. All of it is checked when access
//! is asked for, when a review is given, and at a grant's first use; class and method are checked at every use, so that a grant
//! that was opened with a second factor does not serve a credential without one. Whoever falls short is answered 401 with the
//! challenge of RFC 9470. A break-glass needs a second factor unless `required = false` says otherwise.
//!
//! # Interactions
//! What is done under a grant is recorded, where the gate and the broker were given the means. `[interactions] on_full` says what
//! happens while more records wait than there is room for: with `"count"`, which is the default, requests pass, and how many records
//! were lost is recorded; with `"refuse"` nothing is admitted that is not recorded, and no more requests are in flight than there is room.
//!
//! # Mappings
//! `[[mappings]]` gives roles to whoever comes with the right claims: groups of an identity provider, jobs of a CI system. See
//! [`Mappings`].
//!
//! # Limits
//! Sizes are bounded throughout: a file by [`SOURCE_MAX`], its entries by number, its expressions by length and work.

mod agreement;
mod compile;
mod condition;
mod entry;
mod lint;
mod mapping;
mod model;
mod places;
mod resource;
mod ruling;
pub mod shape;
mod source;
mod standing;
mod table;
pub mod terms;
pub mod text;
mod ticket;

pub use compile::{Control, Policy};
pub use lint::{Lint, Report, Severity};
pub use mapping::Mappings;
pub use ruling::Offer;
pub use source::{Format, SOURCE_MAX};
pub use standing::Standing;

/// A policy file in TOML that shows what can be said in one. Its conditions need the feature `cel`.
pub const EXAMPLE: &str = include_str!("example.toml");

/// The JSON Schema (draft 2020-12) of the policy file, for editors and for checks before a policy is deployed. It says less than
/// [`Policy::parse`] checks.
#[cfg(feature = "schema")]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(model::File).to_value()
}
