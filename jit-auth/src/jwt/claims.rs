//! What the claims of a proven token must say, and what is made of them.

use chrono::TimeDelta;
use jit_core::gate::authenticate::Subject;
use jit_core::id::{Principal, Timestamp};
use serde_json::Value;

use crate::jose::claims::{assurance, time};
use crate::jose::json::Object;
use crate::jose::token::BadToken;

/// What is expected of a token's claims.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) expiry_leeway: TimeDelta,
}

/// How far an issuer's clock may be ahead.
const START_LEEWAY: TimeDelta = TimeDelta::seconds(30);

impl Expected {
    /// Whether the token says that it comes from the issuer.
    pub(super) fn is_issuer(&self, claims: &Object) -> bool {
        claims.get("iss").and_then(Value::as_str) == Some(&self.issuer)
    }

    /// Who the token is about. Its signature has been verified.
    pub(super) fn subject(&self, claims: Object, now: Timestamp) -> Result<Subject, BadToken> {
        if !self.is_issuer(&claims) {
            return Err(BadToken::Issuer);
        }
        self.check_audience(claims.get("aud"))?;
        let expires_at = time(&claims, "exp")?.ok_or(BadToken::Expired)? + self.expiry_leeway;
        if expires_at <= now {
            return Err(BadToken::Expired);
        }
        for name in ["nbf", "iat"] {
            if time(&claims, name)?.is_some_and(|at| at > now + START_LEEWAY) {
                return Err(BadToken::Early);
            }
        }
        // RFC 7800 §3.1: the sender has to prove that key, and a bearer does not. RFC 8705 and RFC 9449 build on it.
        if claims.contains_key("cnf") {
            return Err(BadToken::Bound);
        }
        let Some(Value::String(subject)) = claims.get("sub") else {
            return Err(BadToken::Subject);
        };
        Ok(Subject {
            principal: Principal::new(&self.issuer, subject).map_err(|_| BadToken::Subject)?,
            assurance: assurance(&claims)?,
            claims,
            expires_at: Some(expires_at),
        })
    }

    /// RFC 7519 §4.1.3: one, or a list. One of ours must be in it.
    fn check_audience(&self, claim: Option<&Value>) -> Result<(), BadToken> {
        let ours = |value: &Value| {
            let named = value.as_str().ok_or(BadToken::Claim)?;
            Ok(self.audiences.iter().any(|audience| audience == named))
        };
        let meant = match claim {
            None => false,
            Some(Value::Array(list)) => list
                .iter()
                .try_fold(false, |found, value| Ok(found | ours(value)?))?,
            Some(one) => ours(one)?,
        };
        if meant { Ok(()) } else { Err(BadToken::Audience) }
    }
}
