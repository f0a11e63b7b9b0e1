//! Keys that sign, and a network that answers as told.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::fetch::{Fetch, FetchError};

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs with HMAC and any secret: what an attacker can do who knows a public key.
pub(crate) fn sign_with_secret(secret: &[u8], header: &str, payload: &str) -> String {
    let message = format!("{}.{}", base64url(header), base64url(payload));
    let key = EncodingKey::from_secret(secret);
    let signer = (DEFAULT_PROVIDER.signer_factory)(&jsonwebtoken::Algorithm::HS256, &key).unwrap();
    format!(
        "{message}.{}",
        base64url(signer.try_sign(message.as_bytes()).unwrap())
    )
}

/// An issuer's key for ES256.
pub(crate) struct Signer {
    pub(crate) kid: String,
    key: KeyPair,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            key: KeyPair::generate().unwrap(),
        }
    }

    /// The point without its leading 4.
    fn point(&self) -> Vec<u8> {
        self.key.der_bytes()[1..].to_vec()
    }

    /// As bytes, for those who would use it as a secret.
    pub(crate) fn public(&self) -> Vec<u8> {
        self.key.der_bytes().to_vec()
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = self.point();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
            "x": base64url(&point[..32]), "y": base64url(&point[32..]),
        })
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        let der = STANDARD.encode(self.key.subject_public_key_info());
        let (first, second) = der.split_at(64);
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n").into_bytes()
    }

    /// Over the message as it stands.
    pub(crate) fn signature(&self, message: &str) -> Vec<u8> {
        let key = EncodingKey::from_ec_der(self.key.serialized_der());
        let signer = (DEFAULT_PROVIDER.signer_factory)(&jsonwebtoken::Algorithm::ES256, &key).unwrap();
        signer.try_sign(message.as_bytes()).unwrap()
    }

    /// Over texts that need not be JSON.
    pub(crate) fn sign_text(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", base64url(header), base64url(payload));
        format!("{message}.{}", base64url(self.signature(&message)))
    }

    pub(crate) fn sign(&self, payload: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"});
        self.sign_text(&header.to_string(), &payload.to_string())
    }

    #[cfg(feature = "alb")]
    /// As AWS ALB does: with padding, which it signs.
    pub(crate) fn sign_padded(&self, header: &Value, payload: &Value) -> String {
        let encode = |value: &Value| base64::engine::general_purpose::URL_SAFE.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(payload));
        format!(
            "{message}.{}",
            base64::engine::general_purpose::URL_SAFE.encode(self.signature(&message))
        )
    }
}

/// Answers from a table, once it is let.
#[derive(Debug)]
pub(crate) struct Canned {
    answers: Mutex<HashMap<String, Vec<u8>>>,
    asked: AtomicUsize,
    open: Semaphore,
}

impl Canned {
    pub(crate) fn new() -> Self {
        Self {
            answers: Mutex::default(),
            asked: AtomicUsize::new(0),
            open: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }

    pub(crate) fn answer(&self, url: &str, body: impl Into<Vec<u8>>) {
        self.answers.lock().unwrap().insert(url.to_owned(), body.into());
    }

    pub(crate) fn publish(&self, url: &str, signers: &[&Signer]) {
        let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
        self.answer(url, json!({"keys": keys}).to_string());
    }

    /// From now on nothing answers.
    pub(crate) fn fall_silent(&self) {
        self.answers.lock().unwrap().clear();
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Holds answers back until [`Canned::let_go`].
    pub(crate) fn hold(&self) {
        self.open.forget_permits(usize::MAX);
    }

    pub(crate) fn let_go(&self) {
        self.open.add_permits(1000);
    }
}

#[async_trait]
impl Fetch for Canned {
    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _open = self.open.acquire().await.unwrap();
        let answer = self.answers.lock().unwrap().get(url).cloned();
        answer.ok_or_else(|| FetchError::new(url, "nobody answers"))
    }
}
