//! What must hold of every input from a stranger: a path, a host, a request's head, a header block.
//!
//! Each function takes anything, answers whether it was accepted, and panics when something that was accepted breaks a rule. Property tests call
//! them with random input, and fuzz targets with what a fuzzer thinks of.

use http::header::HeaderMap;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Uri, Version};

use crate::gate::hygiene::{self, reserved};
use crate::gate::target::{CanonicalPath, Host, PATH_MAX, Target};

/// A path as it stands in a request target. What is accepted has one reading: reading its canonical spelling again gives the same,
/// and no form of it holds a dot segment, an inner empty segment or a delimiter.
pub fn path(raw: &str) -> bool {
    let Ok(path) = CanonicalPath::read(raw) else {
        return false;
    };
    let exact = path.as_str();
    let folded: Vec<_> = path.folded().collect();
    let no_text = |c: char| c.is_control() || matches!(c, '\\' | '%' | '?' | '#');
    assert!(!exact.contains(no_text), "{raw:?} holds a delimiter: {exact:?}");
    for form in folded.iter().chain([&exact]) {
        let (last, inner) = form
            .strip_prefix('/')
            .map(|rest| rest.split('/').collect::<Vec<_>>())
            .and_then(|segments| segments.split_last().map(|(last, inner)| (*last, inner.to_vec())))
            .unwrap_or_else(|| panic!("{raw:?} does not begin with a slash: {form:?}"));
        let bare = |segment: &str| {
            segment
                .split(';')
                .next()
                .unwrap_or_default()
                .trim_end()
                .to_owned()
        };
        for segment in inner.iter().chain([&last]) {
            assert!(
                !matches!(&*bare(segment), "." | ".."),
                "{raw:?} has a dot segment: {form:?}"
            );
        }
        for segment in inner {
            let name = segment.split(';').next().unwrap_or_default();
            assert!(!name.is_empty(), "{raw:?} has an empty segment: {form:?}");
        }
    }
    let spelling = path.to_request_target();
    if spelling.len() <= PATH_MAX {
        let again =
            CanonicalPath::read(&spelling).unwrap_or_else(|bad| panic!("{raw:?} as {spelling}: {bad}"));
        assert_eq!(again.as_str(), exact, "{raw:?} as {spelling}");
        assert_eq!(
            again.folded().collect::<Vec<_>>(),
            folded,
            "{raw:?} as {spelling}"
        );
        assert_eq!(again.to_request_target(), spelling, "{raw:?}");
    }
    true
}

/// A Host field. What is accepted is an IPv6 address in brackets or a lower-case name without a dot at its end, and reads as itself.
pub fn host(text: &str) -> bool {
    let Ok(host) = Host::read(text) else {
        return false;
    };
    let name = host.as_str();
    let again = Host::read(name).unwrap_or_else(|bad| panic!("{text:?} as {name}: {bad}"));
    assert_eq!((again.as_str(), again.port()), (name, None), "{text:?}");
    if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let parsed: Result<std::net::Ipv6Addr, _> = address.parse();
        assert_eq!(parsed.map(|a| a.to_string()).as_deref(), Ok(address), "{text:?}");
    } else {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        let label = |label: &str| !label.is_empty() && label.bytes().all(letter);
        assert!(name.split('.').all(label), "{text:?} is {name}");
    }
    true
}

/// A request's head. What is accepted is forwarded with the path that was decided on, and asking for its canonical host and path in
/// other words asks for the same.
pub fn head(parts: &Parts) -> bool {
    let Ok(target) = Target::read(parts) else {
        return false;
    };
    assert_eq!(target.raw_path(), parts.uri.path());
    path(target.raw_path());
    let (name, spelling) = (target.host().as_str(), target.path().to_request_target());
    for (version, uri) in [
        (Version::HTTP_11, spelling.clone()),
        (Version::HTTP_11, format!("http://{name}{spelling}")),
        (Version::HTTP_2, format!("https://{name}{spelling}")),
    ] {
        let Ok(uri) = Uri::try_from(&uri) else { continue };
        let same = Request::builder()
            .version(version)
            .uri(uri)
            .method(parts.method.clone());
        let same = same
            .header(http::header::HOST, name)
            .body(())
            .expect("canonical parts");
        let same = same.into_parts().0;
        if same.uri.path().len() <= PATH_MAX {
            let again = Target::read(&same).unwrap_or_else(|bad| panic!("{parts:?} as {same:?}: {bad}"));
            assert_eq!(
                (again.host().as_str(), again.path().as_str()),
                (name, target.path().as_str()),
                "{parts:?}"
            );
        }
    }
    true
}

/// A header block. What stripping leaves is the same when it is stripped again, holds nothing that is reserved in any spelling, and lacks
/// nothing that is not; a listed proxy keeps its forwarding fields and no more.
pub fn fields(headers: &HeaderMap) {
    let mut stripped = headers.clone();
    hygiene::strip(&mut stripped);
    let mut twice = stripped.clone();
    hygiene::strip(&mut twice);
    assert_eq!(stripped, twice, "{headers:?}");
    let mut behind = headers.clone();
    hygiene::strip_behind_proxy(&mut behind);
    for name in headers.keys() {
        // As CGI, WSGI and PHP read it.
        let spelled: String = name
            .as_str()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let values: Vec<_> = headers.get_all(name).iter().collect();
        let grpc = name == http::header::TE && values.iter().all(|value| *value == "trailers");
        let offer = name == http::header::UPGRADE && hygiene::upgrades(headers).any(hygiene::is_h2c);
        let doomed = offer || (!grpc && reserved::is_reserved(&spelled));
        assert_eq!(
            reserved::is_reserved(name.as_str()),
            reserved::is_reserved(&spelled),
            "{name}"
        );
        let left: Vec<_> = stripped.get_all(name).iter().collect();
        assert_eq!(left, if doomed { Vec::new() } else { values }, "{name}");
        let forwarding = reserved::is_forwarding(name.as_str());
        assert_eq!(behind.contains_key(name), !doomed || forwarding, "{name}");
    }
}

/// The header block in `bytes`: lines of `name:value`, where a line that is no field is left out. For fuzz targets.
pub fn fields_in(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|b| *b == b'\n').take(hygiene::FIELDS_MAX) {
        let mut halves = line.splitn(2, |b| *b == b':');
        let name = halves.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = halves
            .next()
            .and_then(|value| HeaderValue::from_bytes(value).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}
