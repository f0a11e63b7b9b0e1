//! What came of a row, and how good that is.

use std::fmt;

use super::reply::Reply;
use super::row::Expect;

/// What the last request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a grade has to decide about each")]
pub enum Got {
    /// The protected handler answered.
    Admin,
    /// The open handler answered.
    Public,
    /// An authorization endpoint said yes: a 2xx without a handler behind it.
    Yes,
    /// Refused as a denial is, with this status.
    Denied(u16),
    /// Refused as a bad request is, with this status; `None`: the connection ended, or what came was no HTTP/1 response.
    Rejected(Option<u16>),
    /// Another status, and no handler.
    Other(u16),
}

impl Got {
    /// Reads a response. `None` stands for none at all.
    pub fn of(reply: Option<&Reply>) -> Self {
        let Some(reply) = reply else {
            return Self::Rejected(None);
        };
        match (reply.field("x-handler"), reply.status) {
            (Some("public"), _) => Self::Public,
            (Some(_), _) => Self::Admin,
            (None, 200..=299) => Self::Yes,
            (None, 302 | 303 | 307 | 401 | 403 | 404 | 405 | 421) => Self::Denied(reply.status),
            (None, 400 | 411 | 413 | 414 | 417 | 426 | 431 | 501 | 505) => Self::Rejected(Some(reply.status)),
            (None, status) => Self::Other(status),
        }
    }
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin => f.write_str("the admin handler"),
            Self::Public => f.write_str("the public handler"),
            Self::Yes => f.write_str("a yes"),
            Self::Denied(status) | Self::Rejected(Some(status)) | Self::Other(status) => {
                write!(f, "{status}")
            }
            Self::Rejected(None) => f.write_str("no HTTP/1 response"),
        }
    }
}

/// How good that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing in between")]
pub enum Grade {
    /// As expected.
    Ok,
    /// Refused in another way, or refused where it need not be. Nobody got in.
    Soft,
    /// Someone got in who must not, or someone was kept out who must get in.
    Hard,
}

impl Grade {
    /// Grades the last answer. `admin_before` says whether the admin handler answered any request of the row; `baseline`, whether the
    /// row is one of those that must be served.
    pub const fn of(expect: Expect, got: Got, admin_before: bool, baseline: bool) -> Self {
        if admin_before && !matches!(expect, Expect::Allow) {
            return Self::Hard;
        }
        match (expect, got) {
            (Expect::Allow, Got::Admin | Got::Yes)
            | (Expect::AllowPublic, Got::Public | Got::Yes)
            | (Expect::Deny, Got::Denied(_))
            | (Expect::Reject400, Got::Rejected(_)) => Self::Ok,
            (Expect::Allow, _)
            | (Expect::AllowPublic | Expect::Deny | Expect::Reject400, Got::Admin)
            | (Expect::Deny | Expect::Reject400, Got::Public | Got::Yes) => Self::Hard,
            (Expect::AllowPublic, _) if baseline => Self::Hard,
            (Expect::AllowPublic, Got::Denied(_) | Got::Rejected(_) | Got::Other(_))
            | (Expect::Deny, Got::Rejected(_) | Got::Other(_))
            | (Expect::Reject400, Got::Denied(_) | Got::Other(_)) => Self::Soft,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, handler: Option<&str>) -> Reply {
        let fields = handler.map(|handler| ("x-handler".to_owned(), handler.to_owned()));
        Reply {
            status,
            fields: fields.into_iter().collect(),
        }
    }

    #[test]
    fn an_answer_is_read_by_its_handler_then_by_its_status() {
        for (status, handler, expected) in [
            (200, Some("admin"), Got::Admin),
            (500, Some("public"), Got::Public),
            (403, Some("other"), Got::Admin),
            (204, None, Got::Yes),
            (403, None, Got::Denied(403)),
            (303, None, Got::Denied(303)),
            (431, None, Got::Rejected(Some(431))),
            (503, None, Got::Other(503)),
            (101, None, Got::Other(101)),
        ] {
            assert_eq!(
                Got::of(Some(&reply(status, handler))),
                expected,
                "{status} {handler:?}"
            );
        }
        assert_eq!(Got::of(None), Got::Rejected(None));
    }

    #[test]
    fn each_pair_has_its_grade() {
        use Expect::{Allow, AllowPublic, Deny, Reject400};
        use Grade::{Hard, Ok, Soft};
        let got = [
            Got::Admin,
            Got::Public,
            Got::Yes,
            Got::Denied(403),
            Got::Rejected(Some(400)),
            Got::Rejected(None),
            Got::Other(503),
        ];
        for (expect, grades) in [
            (Allow, [Ok, Hard, Ok, Hard, Hard, Hard, Hard]),
            (AllowPublic, [Hard, Ok, Ok, Soft, Soft, Soft, Soft]),
            (Deny, [Hard, Hard, Hard, Ok, Soft, Soft, Soft]),
            (Reject400, [Hard, Hard, Hard, Soft, Ok, Ok, Soft]),
        ] {
            assert_eq!(
                got.map(|got| Grade::of(expect, got, false, false)),
                grades,
                "{expect}"
            );
            let earlier = got.map(|got| Grade::of(expect, got, true, false));
            assert!(
                expect == Allow || earlier.iter().all(|grade| *grade == Hard),
                "{expect}"
            );
        }
        assert_eq!(Grade::of(AllowPublic, Got::Denied(403), false, true), Hard);
        assert_eq!(Grade::of(AllowPublic, Got::Public, false, true), Ok);
    }
}
