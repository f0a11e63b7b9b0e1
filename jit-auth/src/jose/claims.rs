//! Claims that every issuer has.

use jit_core::approval::ask::Assurance;
use jit_core::id::Timestamp;
use serde_json::Value;

use super::json::Object;
use super::token::BadToken;

/// A NumericDate (RFC 7519 §2): seconds, perhaps with a fraction, which is cut off.
pub(crate) fn time(claims: &Object, name: &str) -> Result<Option<Timestamp>, BadToken> {
    // Far outside of what chrono can add leeways and session lengths to, and of any honest token.
    const LAST: i64 = 253_402_300_799;
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = match (value.as_i64(), value.as_f64()) {
        (Some(seconds), _) => seconds,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "cut off on purpose; the cast saturates"
        )]
        (None, Some(seconds)) => seconds.floor() as i64,
        (None, None) => return Err(BadToken::Claim),
    };
    if !(0..=LAST).contains(&seconds) {
        return Err(BadToken::Claim);
    }
    Timestamp::from_timestamp(seconds, 0)
        .map(Some)
        .ok_or(BadToken::Claim)
}

/// OpenID Connect Core §2: `amr`, `acr`, `auth_time`.
pub(crate) fn assurance(claims: &Object) -> Result<Assurance, BadToken> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or(BadToken::Claim);
    let methods = match claims.get("amr") {
        None => Vec::new(),
        Some(Value::Array(list)) => list.iter().map(text).collect::<Result<_, _>>()?,
        Some(_) => return Err(BadToken::Claim),
    };
    Ok(Assurance {
        methods,
        context: claims.get("acr").map(text).transpose()?,
        authenticated_at: time(claims, "auth_time")?,
    })
}
