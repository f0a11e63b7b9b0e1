//! Every way in which some server or framework reads a path.
//!
//! A reading is one choice of each of: how often it is percent-decoded, whether it is cut at the first byte that ends a string, whether
//! Unicode is folded, whether an authority is taken off, whether `;…` goes, and whether dot segments are resolved. Whatever else can be
//! done leniently always is: overlong UTF-8 and `%u` escapes are decoded, a backslash is a slash, slashes merge, case does not matter.

use unicode_normalization::UnicodeNormalization as _;

/// How often a path is decoded at most: beyond that no chain of servers goes.
const ROUNDS: usize = 4;
/// What is protected, in upper case: case folding by upper-casing meets more than lower-casing does.
const PROTECTED: [&str; 2] = ["ADMIN", "BILLING"];

/// Whether any reading of `path` leads to something protected. The path may be anything, an absolute URL included.
pub fn is_protected(path: &str) -> bool {
    let mut text = path.as_bytes().to_vec();
    for _ in 0..=ROUNDS {
        for cut in [false, true] {
            let text = if cut { cut_off(&text) } else { &text };
            let text = lenient_utf8(text);
            if [false, true].into_iter().any(|fold| any_segments(&text, fold)) {
                return true;
            }
        }
        let decoded = decoded(&text);
        if decoded == text {
            break;
        }
        text = decoded;
    }
    false
}

fn any_segments(text: &str, fold: bool) -> bool {
    let text = if fold { folded(text) } else { text.to_owned() };
    let text = text.replace('\\', "/");
    [text.as_str(), after_authority(&text)].into_iter().any(|text| {
        [false, true].into_iter().any(|bare| {
            let segments = segments(text, bare);
            first_is_protected(&segments) || first_is_protected(&resolved(&segments))
        })
    })
}

/// Up to the first byte at which a C string, a URL's path or a line ends.
fn cut_off(text: &[u8]) -> &[u8] {
    let end = text
        .iter()
        .position(|b| matches!(b, 0 | b'\r' | b'\n' | b'?' | b'#'));
    text.get(..end.unwrap_or(text.len())).unwrap_or(text)
}

/// Percent-decodes once: two hexadecimal digits after `%`, and IIS's four after `%u`. What is malformed stays.
fn decoded(text: &[u8]) -> Vec<u8> {
    let number = |from: usize, digits: usize| {
        let text = text.get(from..from + digits)?;
        let all_hex = text.iter().all(u8::is_ascii_hexdigit);
        let text = str::from_utf8(text).ok().filter(|_| all_hex)?;
        u32::from_str_radix(text, 16).ok()
    };
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let short = (byte == b'%').then(|| number(at + 1, 2)).flatten();
        let long = (byte == b'%' && matches!(text.get(at + 1), Some(b'u' | b'U')))
            .then(|| number(at + 2, 4).and_then(char::from_u32))
            .flatten();
        if let Some(byte) = short.and_then(|n| u8::try_from(n).ok()) {
            out.push(byte);
            at += 3;
        } else if let Some(c) = long {
            out.extend(c.to_string().bytes());
            at += 6;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    out
}

/// UTF-8 as a decoder reads it that never looks back: overlong forms and surrogates count, stray bytes are Latin-1.
fn lenient_utf8(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&first) = bytes.get(at) {
        let (more, bits) = match first {
            0xc0..=0xdf => (1, u32::from(first & 0x1f)),
            0xe0..=0xef => (2, u32::from(first & 0x0f)),
            0xf0..=0xf7 => (3, u32::from(first & 0x07)),
            _ => (0, u32::from(first)),
        };
        let rest = bytes.get(at + 1..at + 1 + more).unwrap_or_default();
        let whole = rest.len() == more && rest.iter().all(|b| b & 0xc0 == 0x80);
        let code = rest.iter().fold(bits, |code, b| code << 6 | u32::from(b & 0x3f));
        match char::from_u32(code).filter(|_| whole) {
            Some(c) => {
                out.push(c);
                at += 1 + more;
            }
            None => {
                out.push(char::from(first));
                at += 1;
            }
        }
    }
    out
}

/// NFKC, without what shows as nothing and without control characters.
fn folded(text: &str) -> String {
    text.chars()
        .filter(|c| !is_nothing(*c))
        .nfkc()
        .filter(|c| !is_nothing(*c) && !c.is_control())
        .collect()
}

/// Default_Ignorable_Code_Point (Unicode 17), without its unassigned ones above the BMP but for the tags.
fn is_nothing(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// What follows `scheme://authority` or `//authority`; all of it if neither is there.
fn after_authority(text: &str) -> &str {
    let rest = match text.find("://") {
        Some(at)
            if text
                .get(..at)
                .is_some_and(|s| s.bytes().all(|b| b.is_ascii_alphanumeric())) =>
        {
            text.get(at + 3..)
        }
        _ => text.strip_prefix("//"),
    };
    let Some(rest) = rest else { return text };
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
}

/// The segments that are not empty, trimmed of dots and white space at the end unless they are dot segments. `bare`: without `;…`.
fn segments(text: &str, bare: bool) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in text.split('/') {
        let name = if bare {
            segment.split(';').next().unwrap_or_default()
        } else {
            segment
        };
        let spaceless = name.trim_end();
        if matches!(spaceless, "." | "..") {
            segments.push(spaceless);
            continue;
        }
        let name = name.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
        if !name.is_empty() {
            segments.push(name);
        }
    }
    segments
}

fn resolved<'a>(segments: &[&'a str]) -> Vec<&'a str> {
    let mut out = Vec::new();
    for segment in segments {
        match *segment {
            "." => {}
            ".." => {
                out.pop();
            }
            name => out.push(name),
        }
    }
    out
}

fn first_is_protected(segments: &[&str]) -> bool {
    let upper = |text: &str| text.to_uppercase().replace('\u{130}', "I");
    segments
        .first()
        .is_some_and(|first| PROTECTED.contains(&upper(first).as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_could_lead_there_does() {
        for path in [
            "/admin",
            "/admin/",
            "/ADMIN/x",
            "/billing",
            "/%61dmin",
            "/%2561dmin",
            "/%252561dmin",
            "/%u0061dmin",
            "/public/../admin",
            "/admin/../public",
            "/public/%2e%2e/admin",
            "/public/..%2fadmin",
            "/public/..%252fadmin",
            "/public/..;/admin",
            "/public/..%3b/admin",
            "/public%3f/../admin",
            "/admin%3f",
            "/admin%23x",
            "/admin%00.png",
            "/admin%0d%0aX: y",
            "//admin",
            "/./admin",
            "//app.example.com/admin",
            "http://app.example.com/admin",
            "/public\\..\\admin",
            "/public%5c..%5cadmin",
            "\\admin",
            "/%c0%afadmin",
            "/%c1%a1dmin",
            "/%e0%80%afadmin",
            "/%f0%80%80%afadmin",
            "/admin;x=1",
            "/;/admin",
            "/admin.",
            "/admin%20/x",
            "/adm%C4%B1n",
            "/adm%C4%B0n",
            "/admin%E2%80%8B/",
            "/%EF%BD%81dmin",
            "/x/%EF%BC%8E%EF%BC%8E/admin",
            "/%EF%BC%8Fadmin",
            "/x/%E2%80%A5/admin",
            "/adm%E2%84%B9n",
            "admin",
        ] {
            assert!(is_protected(path), "{path}");
        }
    }

    #[test]
    fn what_can_not_lead_there_does_not() {
        for path in [
            "/",
            "",
            "*",
            "/public",
            "/administrator",
            "/admin-panel",
            "/adminx/y",
            "/public/admin/x",
            "/public/..foo",
            "/public/%7Eu",
            "/public/a:b@c",
            "/public/100%25",
            "/%e2%82%ac",
            "/x%2fadmin",
        ] {
            assert!(!is_protected(path), "{path}");
        }
    }
}
