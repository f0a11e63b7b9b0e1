//! What a 401 says about how to sign in (RFC 9110 §11.6.1): one wording for the gate, its doors and the control API.

use http::HeaderValue;

use crate::policy::terms::MfaTerms;

/// Why a sign-in that is good is not enough: the `error_description` of a [`step_up`].
pub const STEP_UP_DESCRIPTION: &str = "A stronger or more recent sign-in is needed";

/// Nobody was proven: the challenge without any word about why (RFC 6750 §3).
pub fn unauthenticated() -> HeaderValue {
    HeaderValue::from_static("Bearer")
}

/// Somebody was, and their sign-in falls short of `terms` (RFC 9470 §3). A client that signs in anew passes `acr_values` and `max_age`
/// (whole seconds) on to its issuer. The methods of RFC 8176 have no parameter there, and are told in the problem's own members.
pub fn step_up(terms: &MfaTerms) -> HeaderValue {
    let mut text = format!(
        r#"Bearer error="insufficient_user_authentication", error_description="{STEP_UP_DESCRIPTION}""#
    );
    if !terms.acr.is_empty() {
        text.push_str(&format!(r#", acr_values="{}""#, terms.acr.join(" ")));
    }
    if let Some(seconds) = max_age_seconds(terms) {
        text.push_str(&format!(r#", max_age="{seconds}""#));
    }
    // The compiler of policies lets no class in that does not fit a quoted string; terms from elsewhere may hold anything.
    let fits = |name: &String| {
        name.bytes()
            .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    };
    match HeaderValue::try_from(text) {
        Ok(value) if terms.acr.iter().all(fits) => value,
        _ => HeaderValue::from_static(r#"Bearer error="insufficient_user_authentication""#),
    }
}

/// `max_age` as protocols write it, rounded down: a sign-in that is not older than this is fresh.
pub fn max_age_seconds(terms: &MfaTerms) -> Option<u64> {
    terms.max_age.map(|age| age.as_millis() / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Span;

    #[test]
    fn a_challenge_reads_as_rfc_9470_has_it() {
        let check = |acr: &[&str], max_age: Option<Span>, rest: &str| {
            let terms = MfaTerms {
                acr: acr.iter().map(|name| (*name).to_owned()).collect(),
                amr: ["hwk".to_owned()].into(),
                max_age,
            };
            let expected = format!(r#"Bearer error="insufficient_user_authentication"{rest}"#);
            assert_eq!(step_up(&terms), expected, "{terms:?}");
        };
        let why = r#", error_description="A stronger or more recent sign-in is needed""#;
        check(&[], None, why);
        check(&[], Some(Span::minutes(15)), &format!(r#"{why}, max_age="900""#));
        check(
            &[],
            Some(Span::millis(1999).unwrap()),
            &format!(r#"{why}, max_age="1""#),
        );
        check(
            &["urn:gold", "silver"],
            Some(Span::minutes(1)),
            &format!(r#"{why}, acr_values="urn:gold silver", max_age="60""#),
        );
        for odd in ["a\"b", "a\\b", "a b", "a\nb", "\u{e9}"] {
            check(&[odd], None, "");
        }
    }
}
