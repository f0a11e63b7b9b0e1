//! The digest that a review names: over everything that a reviewer decides on.

use serde::Serialize;

use crate::approval::ask::Ruling;
use crate::approval::request::Requester;
use crate::id::{Digest, RequestId};

/// What is hashed. The order of the fields is part of the format.
#[derive(Serialize)]
struct Covered<'a> {
    id: RequestId,
    requester: &'a Requester,
    ruling: &'a Ruling,
    extends: Option<RequestId>,
}

/// The digest of a request: its id and requester, the resource's definition, scope, duration, start, reason, ticket, limits, selector,
/// the policy's terms, and what it extends. Any change of one of these is another digest, and reviews of the old one are void.
///
/// # Errors
/// The encoder's. None of these types can make it fail; it is passed on so that nothing is ever hashed in part.
pub fn digest(
    id: RequestId,
    requester: &Requester,
    ruling: &Ruling,
    extends: Option<RequestId>,
) -> Result<Digest, serde_json::Error> {
    let json = serde_json::to_vec(&Covered {
        id,
        requester,
        ruling,
        extends,
    })?;
    Ok(Digest::of([b"jit-request-1".as_slice(), &json]))
}
