//! What an upstream is told of the caller.

use http::header::{HeaderName, HeaderValue};
use jit_core::broker::directory::Person;
use jit_core::gate::authenticate::Subject;
use jit_core::gate::introduce;
use jit_core::gate::permit::Permit;
use pingora::http::RequestHeader;

/// The fields with which a caller is introduced.
#[derive(Debug, Default)]
pub(crate) struct Identity(Vec<(HeaderName, HeaderValue)>);

impl Identity {
    pub(crate) fn of(subject: &Subject, person: Option<&Person>, permit: Option<&Permit>) -> Self {
        let grant = permit.into_iter().flat_map(introduce::grant);
        Self(introduce::caller(subject, person).chain(grant).collect())
    }

    /// Puts them in, in place of whatever stands there.
    pub(crate) fn introduce(&self, upstream: &mut RequestHeader) -> pingora::Result<()> {
        for name in &introduce::FIELDS {
            upstream.remove_header(name);
        }
        for (name, value) in &self.0 {
            upstream.insert_header(name.clone(), value.clone())?;
        }
        Ok(())
    }
}
