//! The name in a certificate.

use chrono::DateTime;
use jit_core::id::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Which names of a certificate count.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameKind {
    /// The SPIFFE id, a URI among the subject alternative names, in one of these trust domains. Made by [`NameKind::spiffe`].
    #[non_exhaustive]
    Spiffe {
        /// The trust domains.
        trust_domains: Vec<String>,
    },
    /// The DNS name among the subject alternative names, in lower case. A wildcard is no name.
    Dns,
    /// The e-mail address among the subject alternative names, byte for byte.
    Email,
    /// The common name of the subject.
    CommonName,
}

/// The text can't be a SPIFFE trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} can't be a trust domain: write lower-case letters, digits, '.', '-' and '_', such as prod.example.com"
)]
pub struct BadTrustDomain(pub String);

impl NameKind {
    /// SPIFFE ids in these trust domains.
    ///
    /// # Errors
    /// [`BadTrustDomain`] names the first that can't be one.
    pub fn spiffe(
        trust_domains: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, BadTrustDomain> {
        let trust_domains = trust_domains
            .into_iter()
            .map(Into::into)
            .map(|domain: String| {
                if is_trust_domain(&domain) {
                    Ok(domain)
                } else {
                    Err(BadTrustDomain(domain))
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self::Spiffe { trust_domains })
    }

    fn of<'c>(&self, name: &GeneralName<'c>) -> Option<&'c str> {
        match (self, name) {
            (Self::Spiffe { .. }, GeneralName::URI(text))
            | (Self::Dns, GeneralName::DNSName(text))
            | (Self::Email, GeneralName::RFC822Name(text)) => Some(text),
            _ => None,
        }
    }

    fn spell(&self, text: &str) -> Option<String> {
        match self {
            Self::Spiffe { trust_domains } => is_spiffe_id(text, trust_domains).then(|| text.to_owned()),
            Self::Dns => {
                let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
                (!text.is_empty() && text.bytes().all(is_name))
                    .then(|| format!("dns:{}", text.to_ascii_lowercase()))
            }
            Self::Email => {
                (text.is_ascii() && text.matches('@').count() == 1).then(|| format!("email:{text}"))
            }
            Self::CommonName => (!text.is_empty()).then(|| format!("cn:{text}")),
        }
    }
}

/// What a certificate says of its holder.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) not_after: Timestamp,
}

/// The first of these kinds that a leaf has, if it has exactly one of it and `now` is in its time.
pub(super) fn read(leaf: &[u8], kinds: &[NameKind], now: Timestamp) -> Option<Found> {
    let (rest, certificate) = X509Certificate::from_der(leaf).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let validity = certificate.validity();
    let not_before = DateTime::from_timestamp(validity.not_before.timestamp(), 0)?;
    let not_after = DateTime::from_timestamp(validity.not_after.timestamp(), 0)?;
    if now < not_before || not_after <= now {
        return None;
    }
    let alternatives = certificate.subject_alternative_name().ok()?;
    let alternatives = alternatives.map_or([].as_slice(), |extension| &extension.value.general_names);
    if alternatives
        .iter()
        .any(|name| matches!(name, GeneralName::Invalid(..)))
    {
        return None;
    }
    for kind in kinds {
        let names: Vec<&str> = if *kind == NameKind::CommonName {
            let names = certificate.subject().iter_common_name();
            names.map(|name| name.as_str()).collect::<Result<_, _>>().ok()?
        } else {
            alternatives.iter().filter_map(|name| kind.of(name)).collect()
        };
        match *names {
            [] => {}
            [one] => {
                let name = kind.spell(one)?;
                return Some(Found { name, not_after });
            }
            _ => return None,
        }
    }
    None
}

fn is_trust_domain(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= 255 && text.bytes().all(fits)
}

/// SPIFFE-ID §2: a trust domain that is listed, and a path of segments that mean nothing but themselves.
fn is_spiffe_id(text: &str, trust_domains: &[String]) -> bool {
    let Some((domain, path)) = text
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_segment =
        |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(fits);
    trust_domains.iter().any(|listed| listed == domain) && path.split('/').all(is_segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_is_in_a_listed_domain_and_plain() {
        let listed = ["prod.example".to_owned()];
        for (text, expected) in [
            ("spiffe://prod.example/ns/a/sa/b", true),
            ("spiffe://prod.example/A_b-c.d", true),
            ("spiffe://test.example/ns/a", false),
            ("spiffe://prod.example.evil/ns/a", false),
            ("spiffe://PROD.example/ns/a", false),
            ("SPIFFE://prod.example/ns/a", false),
            ("https://prod.example/ns/a", false),
            ("spiffe://prod.example", false),
            ("spiffe://prod.example/", false),
            ("spiffe://prod.example//a", false),
            ("spiffe://prod.example/a/", false),
            ("spiffe://prod.example/a/../b", false),
            ("spiffe://prod.example/./b", false),
            ("spiffe://prod.example/a%2fb", false),
            ("spiffe://prod.example/a?b", false),
            ("spiffe://prod.example/a#b", false),
            ("spiffe://prod.example:443/a", false),
            ("spiffe://user@prod.example/a", false),
            ("spiffe:///a", false),
        ] {
            assert_eq!(is_spiffe_id(text, &listed), expected, "{text}");
        }
        assert!(NameKind::spiffe(["a.example", "b_c-1"]).is_ok());
        for domain in ["", "A.example", "a/b", "a:1", "a b"] {
            assert_eq!(NameKind::spiffe([domain]), Err(BadTrustDomain(domain.to_owned())));
        }
    }

    #[test]
    fn other_names_keep_their_kind() {
        for (kind, text, expected) in [
            (NameKind::Dns, "Web-1.example.com", Some("dns:web-1.example.com")),
            (NameKind::Dns, "*.example.com", None),
            (NameKind::Dns, "", None),
            (NameKind::Email, "Ana@example.com", Some("email:Ana@example.com")),
            (NameKind::Email, "a@b@example.com", None),
            (NameKind::Email, "ana", None),
            (NameKind::CommonName, "Ana Example", Some("cn:Ana Example")),
            (
                NameKind::CommonName,
                "spiffe://prod.example/a",
                Some("cn:spiffe://prod.example/a"),
            ),
            (NameKind::CommonName, "", None),
        ] {
            assert_eq!(kind.spell(text).as_deref(), expected, "{kind:?} {text}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_name() {
        let now = DateTime::from_timestamp(0, 0).unwrap();
        for leaf in [
            &b""[..],
            b"x",
            &[0x30, 0x80],
            &[0x30, 0x03, 0x02, 0x01, 0x01],
            &[0xff; 100],
        ] {
            assert!(read(leaf, &[NameKind::CommonName], now).is_none());
        }
    }
}
