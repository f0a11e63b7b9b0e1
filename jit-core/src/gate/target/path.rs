//! The one spelling of a path, and the looser spellings that an upstream could take it for.
//!
//! The exact form is the path decoded once. What protects also looks at the folded forms: each segment without `;…` and without
//! dots and white space at its end, case folded; the same again for Unicode normal form NFKC without characters that show as
//! nothing. A path with a `.`, `..` or inner empty segment in any of these forms is refused, never resolved.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::BadTarget;
use crate::gate::classes::Classes;
use crate::policy::text::is_unprintable;

/// Longest path, in bytes as it came.
pub const PATH_MAX: usize = 8 * 1024;

/// A path that has passed every rule, in its exact form, with the folded forms at hand.
///
/// A plain path (lower-case ASCII, nothing encoded, no `;`, no dot at the end of a segment) is borrowed and is its own folded form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPath<'a> {
    exact: Cow<'a, str>,
    folded: Cow<'a, str>,
    folded_nfkc: Option<String>,
}

impl<'a> CanonicalPath<'a> {
    /// Reads the path of a request target as it came: percent-encoded ASCII.
    ///
    /// # Errors
    /// A [`BadTarget`] of the path kinds.
    pub fn read(raw: &'a str) -> Result<Self, BadTarget> {
        if raw.len() > PATH_MAX {
            return Err(BadTarget::PathTooLong);
        }
        if !raw.starts_with('/') {
            return Err(BadTarget::Form);
        }
        if is_plain(raw) {
            let folded = raw.strip_suffix('/').filter(|rest| !rest.is_empty());
            return Ok(Self {
                exact: Cow::Borrowed(raw),
                folded: Cow::Borrowed(folded.unwrap_or(raw)),
                folded_nfkc: None,
            });
        }
        Self::fold(decode(raw)?)
    }

    /// Takes a text that is decoded already: the path prefix of a policy.
    fn of_text(text: &'a str) -> Result<Self, BadTarget> {
        if text.len() > PATH_MAX {
            return Err(BadTarget::PathTooLong);
        }
        if !text.starts_with('/') {
            return Err(BadTarget::Form);
        }
        if text
            .chars()
            .any(|c| c.is_control() || matches!(c, '\\' | '%' | ';' | '?' | '#'))
        {
            return Err(BadTarget::Encoded);
        }
        Self::fold(Cow::Borrowed(text))
    }

    fn fold(exact: Cow<'a, str>) -> Result<Self, BadTarget> {
        let folded = fold(&exact)?;
        let folded_nfkc = if exact.is_ascii() {
            None
        } else {
            let other = fold(&compatible(&exact)?)?;
            (other != folded).then_some(other)
        };
        Ok(Self {
            exact,
            folded: Cow::Owned(folded),
            folded_nfkc,
        })
    }

    /// The exact form: decoded once, nothing folded.
    pub fn as_str(&self) -> &str {
        &self.exact
    }

    /// Whether the one folded form is the exact form, but for a slash at the end.
    pub(in crate::gate) fn is_plain(&self) -> bool {
        matches!(self.folded, Cow::Borrowed(_))
    }

    /// The folded forms, of which any one is enough to be protected. Segments are compared whole.
    pub fn folded(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.folded).chain(self.folded_nfkc.as_deref())
    }

    /// The exact form percent-encoded: reading that again gives the same exact form.
    pub fn to_request_target(&self) -> String {
        const HEX: [char; 16] = [
            '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
        ];
        let mut out = String::with_capacity(self.exact.len());
        for byte in self.exact.bytes() {
            // pchar and "/" (RFC 3986 §3.3).
            if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push('%');
                out.extend(HEX.get(usize::from(byte >> 4)));
                out.extend(HEX.get(usize::from(byte & 15)));
            }
        }
        out
    }
}

/// The canonical spelling of a path prefix in a policy: decoded text, without a slash at the end except for `/` itself.
///
/// # Errors
/// A [`BadTarget`] of the path kinds; [`BadTarget::Encoded`] also for `\ % ; ? #`, because no path that holds them is ever matched,
/// [`BadTarget::Folding`] for a segment that vanishes or splits in a folded form, and [`BadTarget::Pattern`] for `*`.
pub fn canonical_prefix(text: &str) -> Result<String, BadTarget> {
    let path = CanonicalPath::of_text(text)?;
    let trimmed = text.strip_suffix('/').unwrap_or(text);
    let segments = trimmed.split('/').skip(1).count();
    let kept = |form: &str| form.split('/').skip(1).filter(|s| !s.is_empty()).count();
    if path.folded().any(|form| kept(form) != segments) {
        return Err(BadTarget::Folding);
    }
    // Whoever writes one means more than the path that is spelled so, and would leave all of that open.
    if path.folded().any(|form| form.contains('*')) {
        return Err(BadTarget::Pattern);
    }
    Ok(if trimmed.is_empty() { "/" } else { trimmed }.to_owned())
}

/// The keys under which a canonical prefix protects.
pub(in crate::gate) fn fold_keys(prefix: &str) -> Result<Vec<String>, BadTarget> {
    let path = CanonicalPath::of_text(prefix)?;
    Ok(path.folded().map(str::to_owned).collect())
}

/// What may stand in a plain path.
static PLAIN: Classes = Classes::new()
    .with(TEXT, b"abcdefghijklmnopqrstuvwxyz0123456789-_~!$&'()*+,=:@")
    .with(SLASH, b"/")
    .with(DOT, b".");
const TEXT: u8 = 1;
const SLASH: u8 = 2;
const DOT: u8 = 3;

/// One scan: whether the path is its own decoded and folded form. Everything else, and everything bad, goes the long way.
fn is_plain(raw: &str) -> bool {
    let mut before = TEXT;
    for byte in raw.bytes() {
        let class = PLAIN.of(byte);
        // A slash after a slash or a dot, or what is of no class.
        if class == 0 || (class == SLASH && before >= SLASH) {
            return false;
        }
        before = class;
    }
    before != DOT
}

fn decode(raw: &str) -> Result<Cow<'_, str>, BadTarget> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || {
                    let digit = char::from(bytes.next()?).to_digit(16)?;
                    u8::try_from(digit).ok()
                };
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(BadTarget::Triplet);
                };
                match high << 4 | low {
                    0..=0x1f | 0x7f | b'/' | b'\\' | b'%' | b';' | b'?' | b'#' => {
                        return Err(BadTarget::Encoded);
                    }
                    decoded => out.push(decoded),
                }
            }
            b'\\' | b'#' | b'?' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                return Err(BadTarget::RawByte);
            }
            0x21..=0x7e => out.push(byte),
            _ => return Err(BadTarget::RawByte),
        }
    }
    let text = String::from_utf8(out).map_err(|_| BadTarget::NotUtf8)?;
    if text.chars().any(char::is_control) {
        return Err(BadTarget::Encoded);
    }
    Ok(if text == raw {
        Cow::Borrowed(raw)
    } else {
        Cow::Owned(text)
    })
}

/// NFKC without what shows as nothing: what a normalising upstream would see. Separators that only appear here separate here.
fn compatible(text: &str) -> Result<String, BadTarget> {
    let shown = text.chars().filter(|c| !is_unprintable(*c));
    let form: String = shown
        .nfkc()
        .filter(|c| !is_unprintable(*c))
        .map(|c| match c {
            '\\' => '/',
            '?' | '#' => ';',
            c => c,
        })
        .collect();
    let triplet = form.split('%').skip(1).any(|after| {
        let mut after = after.chars();
        let mut is_digit = || after.next().is_some_and(|c| c.is_ascii_hexdigit());
        is_digit() && is_digit()
    });
    if triplet {
        Err(BadTarget::Encoded)
    } else {
        Ok(form)
    }
}

/// Checks the segments of a form and folds them. Segments of dots and white space alone vanish, as they do where those are trimmed.
fn fold(form: &str) -> Result<String, BadTarget> {
    let mut out = String::with_capacity(form.len());
    let mut segments = form.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let bare = segment.split(';').next().unwrap_or_default();
        if matches!(bare.trim_end(), "." | "..") {
            return Err(BadTarget::DotSegment);
        }
        if bare.is_empty() && segments.peek().is_some() {
            return Err(BadTarget::EmptySegment);
        }
        let name = bare.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
        if !name.is_empty() {
            out.push('/');
            for c in name.chars() {
                fold_case(c, &mut out);
            }
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    Ok(out)
}

/// Upper case, then lower case: coarser than either, so that dotless i, long s and the Kelvin sign meet i, s and k.
fn fold_case(c: char, out: &mut String) {
    match c {
        _ if c.is_ascii() => out.push(c.to_ascii_lowercase()),
        '\u{130}' => out.push('i'),
        _ => out.extend(c.to_uppercase().flat_map(char::to_lowercase)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folded(path: &CanonicalPath<'_>) -> Vec<String> {
        path.folded().map(str::to_owned).collect()
    }

    #[test]
    fn exact_and_folded_forms() {
        for (raw, exact, forms) in [
            ("/", "/", vec!["/"]),
            ("/admin", "/admin", vec!["/admin"]),
            ("/admin/", "/admin/", vec!["/admin"]),
            ("/ADMIN/", "/ADMIN/", vec!["/admin"]),
            ("/%61dmin", "/admin", vec!["/admin"]),
            ("/a%2Eb", "/a.b", vec!["/a.b"]),
            ("/a:b@c", "/a:b@c", vec!["/a:b@c"]),
            ("/admin;x=1/u;y", "/admin;x=1/u;y", vec!["/admin/u"]),
            ("/admin/;x", "/admin/;x", vec!["/admin"]),
            ("/admin.", "/admin.", vec!["/admin"]),
            ("/admin.%20.", "/admin. .", vec!["/admin"]),
            ("/admin%20/x", "/admin /x", vec!["/admin/x"]),
            ("/.../admin", "/.../admin", vec!["/admin"]),
            ("/..foo", "/..foo", vec!["/..foo"]),
            ("/foo..", "/foo..", vec!["/foo"]),
            ("/[x]", "/[x]", vec!["/[x]"]),
            ("/adm%C4%B1n", "/adm\u{131}n", vec!["/admin"]),
            ("/adm%C4%B0n", "/adm\u{130}n", vec!["/admin"]),
            (
                "/admin%E2%80%8B/",
                "/admin\u{200b}/",
                vec!["/admin\u{200b}", "/admin"],
            ),
            ("/%EF%BD%81dmin", "/\u{ff41}dmin", vec!["/\u{ff41}dmin", "/admin"]),
            (
                "/x%EF%BC%8Fadmin",
                "/x\u{ff0f}admin",
                vec!["/x\u{ff0f}admin", "/x/admin"],
            ),
            (
                "/admin%EF%BC%BCx",
                "/admin\u{ff3c}x",
                vec!["/admin\u{ff3c}x", "/admin/x"],
            ),
            (
                "/admin%EF%BC%9Fx",
                "/admin\u{ff1f}x",
                vec!["/admin\u{ff1f}x", "/admin"],
            ),
            ("/%E2%84%AAey", "/\u{212a}ey", vec!["/key"]),
            ("/100%EF%BC%85", "/100\u{ff05}", vec!["/100\u{ff05}", "/100%"]),
        ] {
            let path = CanonicalPath::read(raw).expect(raw);
            let got = folded(&path);
            let owned: Vec<_> = forms.into_iter().map(str::to_owned).collect();
            assert_eq!((path.as_str(), got), (exact, owned), "{raw}");
        }
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        use BadTarget::{DotSegment, EmptySegment, Encoded, Form, NotUtf8, RawByte, Triplet};
        for (raw, want) in [
            ("", Form),
            ("admin", Form),
            ("*", Form),
            ("//", EmptySegment),
            ("//admin", EmptySegment),
            ("/admin//x", EmptySegment),
            ("/a//", EmptySegment),
            ("/;/admin", EmptySegment),
            ("/;x/admin", EmptySegment),
            ("/.", DotSegment),
            ("/..", DotSegment),
            ("/a/./b", DotSegment),
            ("/a/../b", DotSegment),
            ("/a/..", DotSegment),
            ("/a/..;/b", DotSegment),
            ("/a/.;x/b", DotSegment),
            ("/a/..%20/b", DotSegment),
            ("/a/%2e%2E/b", DotSegment),
            ("/a/.%2e;x", DotSegment),
            ("/%EF%BC%8E%EF%BC%8E/admin", DotSegment),
            ("/%E2%80%A5/admin", DotSegment),
            ("/.%E2%80%8B./admin", DotSegment),
            ("/a/..%EF%BC%BCadmin", DotSegment),
            ("/a/..%EF%BC%9F/admin", DotSegment),
            ("/a/..%CD%BE/admin", DotSegment),
            ("/%EF%BC%8Fadmin", EmptySegment),
            ("/%E2%80%8B/admin", EmptySegment),
            ("/%EF%BC%8561dmin", Encoded),
            ("/a%2fb", Encoded),
            ("/a%2Fb", Encoded),
            ("/a%5cb", Encoded),
            ("/a%25b", Encoded),
            ("/a%252e", Encoded),
            ("/a%3b", Encoded),
            ("/a%3F", Encoded),
            ("/a%23", Encoded),
            ("/a%00", Encoded),
            ("/a%0d%0a", Encoded),
            ("/a%09", Encoded),
            ("/a%7f", Encoded),
            ("/a%C2%85", Encoded),
            ("/%", Triplet),
            ("/%2", Triplet),
            ("/%zz", Triplet),
            ("/%u0061", Triplet),
            ("/%-1", Triplet),
            ("/%+1", Triplet),
            ("/% 1", Triplet),
            ("/a%ff", NotUtf8),
            ("/%c0%af", NotUtf8),
            ("/%c1%a1dmin", NotUtf8),
            ("/%e0%80%af", NotUtf8),
            ("/%f0%80%80%af", NotUtf8),
            ("/%ed%a0%80", NotUtf8),
            ("/a\\b", RawByte),
            ("/a b", RawByte),
            ("/a\tb", RawByte),
            ("/a\0", RawByte),
            ("/a\u{7f}", RawByte),
            ("/a\u{ff}", RawByte),
            ("/a#b", RawByte),
            ("/a?b", RawByte),
            ("/a\"", RawByte),
            ("/a<", RawByte),
            ("/a>", RawByte),
            ("/a^", RawByte),
            ("/a`", RawByte),
            ("/a{", RawByte),
            ("/a|", RawByte),
            ("/a}", RawByte),
        ] {
            assert_eq!(CanonicalPath::read(raw).map(|p| folded(&p)), Err(want), "{raw:?}");
        }
    }

    #[test]
    fn a_long_path_is_refused() {
        let path = format!("/{}", "a".repeat(PATH_MAX - 1));
        assert!(CanonicalPath::read(&path).is_ok());
        assert_eq!(
            CanonicalPath::read(&format!("{path}a")).err(),
            Some(BadTarget::PathTooLong)
        );
    }

    #[test]
    fn a_plain_path_is_borrowed() {
        let path = CanonicalPath::read("/admin/v1.2/a-b_c~d").expect("plain");
        assert!(matches!(
            (&path.exact, &path.folded, &path.folded_nfkc),
            (Cow::Borrowed(_), Cow::Borrowed(_), None)
        ));
    }

    #[test]
    fn a_prefix_of_a_policy_is_decoded_text() {
        use BadTarget::{DotSegment, EmptySegment, Encoded, Folding, Form};
        for (text, want) in [
            ("/", Ok("/")),
            ("/admin", Ok("/admin")),
            ("/admin/", Ok("/admin")),
            ("/Admin Area/caf\u{e9}", Ok("/Admin Area/caf\u{e9}")),
            ("/a.b", Ok("/a.b")),
            ("", Err(Form)),
            ("admin", Err(Form)),
            ("//", Err(EmptySegment)),
            ("/a//b", Err(EmptySegment)),
            ("/a//", Err(EmptySegment)),
            ("/a/../b", Err(DotSegment)),
            ("/...", Err(Folding)),
            ("/a/ /b", Err(Folding)),
            ("/x\u{ff0f}admin", Err(Folding)),
            ("/%61", Err(Encoded)),
            ("/a;b", Err(Encoded)),
            ("/a?b", Err(Encoded)),
            ("/a\\b", Err(Encoded)),
            ("/a\n", Err(Encoded)),
            ("/a/*", Err(BadTarget::Pattern)),
            ("/\u{ff0a}", Err(BadTarget::Pattern)),
        ] {
            assert_eq!(canonical_prefix(text), want.map(str::to_owned), "{text:?}");
        }
    }

    fn targets() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/".to_owned()),
            Just("/admin".to_owned()),
            "[a-zA-Z0-9._~;:@!$&'()*+,=-]{1,6}",
            "%[0-9a-fA-F]{2}",
            any::<char>().prop_map(|c| {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes)
                    .bytes()
                    .map(|b| format!("%{b:02X}"))
                    .collect()
            }),
            "[\u{21}-\u{7e}]",
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn reading_is_idempotent(raw in targets()) {
            if let Ok(path) = CanonicalPath::read(&raw) {
                let target = path.to_request_target();
                if target.len() <= PATH_MAX {
                    let again = CanonicalPath::read(&target);
                    prop_assert_eq!(again.as_ref().map(CanonicalPath::as_str), Ok(path.as_str()));
                    prop_assert_eq!(again.map(|p| folded(&p)), Ok(folded(&path)));
                }
            }
        }

        #[test]
        fn the_short_way_and_the_long_way_agree(raw in "/[a-z0-9/._~:@!$-]{0,24}") {
            if is_plain(&raw) {
                let long = decode(&raw).and_then(CanonicalPath::fold).expect("plain paths are good");
                let short = CanonicalPath::read(&raw).expect("plain paths are good");
                prop_assert_eq!(long.as_str(), short.as_str());
                prop_assert_eq!(folded(&long), folded(&short));
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(raw in "\\PC{0,40}") {
            let _ = CanonicalPath::read(&raw);
            let _ = canonical_prefix(&raw);
        }
    }
}
