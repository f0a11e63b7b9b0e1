//! The head of a request, as the gate has to see it: what will be sent on, and what pingora took away.

use std::borrow::Cow;

use http::request::Parts;
use http::{Uri, Version, header};
use jit_core::gate::hygiene::BadHeaders;
use jit_core::gate::refusal::Refusal;
use jit_core::gate::target::BadTarget;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

/// The head that a decision has to rest on.
///
/// Over HTTP/1, pingora's `Uri` holds the path alone and its upstream is sent [`RequestHeader::raw_path`]. The decision is made on the latter.
///
/// # Errors
/// Why what pingora made of the request can't be decided on.
pub(crate) fn read(session: &ServerSession) -> Result<Cow<'_, Parts>, Refusal> {
    let request = session.req_header();
    if request.version < Version::HTTP_2 {
        if let Some(http1) = session.as_http1()
            && request.headers.contains_key(header::TRANSFER_ENCODING)
            && names_length(&http1.get_headers_raw_bytes())
        {
            // Two framings came. Pingora has dropped one of them already.
            return Err(Refusal::BadHeaders(BadHeaders::TransferEncoding));
        }
        return target(request);
    }
    Ok(Cow::Borrowed(request))
}

fn target(request: &RequestHeader) -> Result<Cow<'_, Parts>, Refusal> {
    if !request.raw_path_is_utf8() {
        return Err(Refusal::BadTarget(BadTarget::RawByte));
    }
    let raw = request.raw_path();
    // There pingora's Uri is what it sends.
    if raw.starts_with(b"/") || raw == b"*" {
        return Ok(Cow::Borrowed(request));
    }
    let Ok(uri) = Uri::try_from(raw) else {
        return Err(Refusal::BadTarget(BadTarget::Form));
    };
    let mut head = request.as_owned_parts();
    head.uri = uri;
    Ok(Cow::Owned(head))
}

/// Whether a Content-Length stands in a header as it came.
fn names_length(raw: &[u8]) -> bool {
    let mut lines = raw.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"content-length")
    })
}
