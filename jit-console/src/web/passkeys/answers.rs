//! What the answers of authenticators prove, and what is kept of it.
//!
//! A signature counter that does not grow is refused, by what is kept when the answer counts: two answers with one count, made by an
//! authenticator and a copy of it, are never both right (W3C Web Authentication §6.1.1). Many authenticators always say 0, which says nothing.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jit_core::approval::ask::Actor;
use jit_core::approval::event::PersonEvent;
use jit_core::approval::evidence::Evidence;
use jit_core::broker::passkeys::{EACH_MAX, News, Passkey};
use jit_core::broker::store::StoreError;
use jit_core::gate::step_up::FactorError;
use jit_core::id::{PersonId, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::Value;
use webauthn_rs::prelude::{
    self, COSEKey, COSEKeyType, ECDSACurve, EDDSACurve, PasskeyAuthentication, PasskeyRegistration,
    PublicKeyCredential, RegisterPublicKeyCredential, WebauthnError,
};

use super::{Passkeys, Signing};

/// How often a change is tried again that another one came before.
const TRIES: usize = 8;

impl Passkeys {
    /// Keeps the passkey that an authenticator has made.
    ///
    /// `lives` says whether the session that asks for it still does: looked at after what is to be changed was read, since whoever clears a person's
    /// passkeys ends their sessions first.
    pub(in crate::web) async fn enrolled(
        &self,
        by: &Actor,
        lives: impl Fn() -> bool,
        name: &str,
        state: &PasskeyRegistration,
        answer: &str,
        now: Timestamp,
    ) -> Result<(), FactorError> {
        let person = &by.person.id;
        let answer: RegisterPublicKeyCredential = read(answer)?;
        let made = self.webauthn.finish_passkey_registration(&answer, state);
        let made = made.map_err(|error| not_right(person, &error))?;
        let passkey = Passkey {
            id: URL_SAFE_NO_PAD.encode(made.cred_id()),
            name: name.to_owned(),
            added_at: now,
            used_at: None,
            data: serde_json::to_string(&made).map_err(unavailable)?,
        };
        self.change(person, |items| {
            if !lives() {
                return Err(FactorError::Wrong);
            }
            let known = items.iter().any(|known| known.id == passkey.id);
            if known || items.len() >= EACH_MAX {
                return Err(FactorError::Wrong);
            }
            items.push(passkey.clone());
            let event = PersonEvent::PasskeyEnrolled {
                owner: person.clone(),
                passkey: passkey.named(),
                principal: by.principal.clone(),
                person: person.clone(),
            };
            Ok(Some(News { at: now, event }))
        })
        .await?;
        tracing::info!(%person, passkey = passkey.id, "a passkey was enrolled");
        Ok(())
    }

    /// Removes a passkey, if there is one of this id.
    pub(in crate::web) async fn remove(
        &self,
        by: &Actor,
        id: &str,
        now: Timestamp,
    ) -> Result<(), FactorError> {
        let person = &by.person.id;
        self.change(person, |items| {
            let Some(at) = items.iter().position(|known| known.id == id) else {
                return Ok(None);
            };
            let event = PersonEvent::PasskeyRemoved {
                owner: person.clone(),
                passkey: items.remove(at).named(),
                principal: by.principal.clone(),
                person: person.clone(),
            };
            Ok(Some(News { at: now, event }))
        })
        .await?;
        tracing::info!(%person, passkey = id, "a passkey was removed");
        Ok(())
    }

    /// Verifies an assertion that was begun for an errand.
    pub(in crate::web) async fn proven(
        &self,
        person: &PersonId,
        state: &PasskeyAuthentication,
        answer: &str,
        now: Timestamp,
    ) -> Result<(), FactorError> {
        self.asserted(person, state, &read(answer)?, now).await.map(drop)
    }

    /// Verifies an assertion over a decision; answers what goes into its record.
    pub(in crate::web) async fn signed(
        &self,
        person: &PersonId,
        signing: &Signing,
        answer: &str,
        now: Timestamp,
    ) -> Result<Evidence, FactorError> {
        let answer: PublicKeyCredential = read(answer)?;
        let key = self.asserted(person, &signing.state, &answer, now).await?;
        let bytes = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Ok(Evidence {
            statement: signing.statement.clone(),
            credential: bytes(&answer.raw_id),
            public_key: web_key(&key),
            authenticator_data: bytes(&answer.response.authenticator_data),
            client_data: bytes(&answer.response.client_data_json),
            signature: bytes(&answer.response.signature),
        })
    }

    /// Verifies an assertion and keeps what it changes of its passkey; answers the public key.
    async fn asserted(
        &self,
        person: &PersonId,
        state: &PasskeyAuthentication,
        answer: &PublicKeyCredential,
        now: Timestamp,
    ) -> Result<COSEKey, FactorError> {
        let result = self.webauthn.finish_passkey_authentication(answer, state);
        let result = result.map_err(|error| not_right(person, &error))?;
        if !result.user_verified() {
            return Err(FactorError::Wrong);
        }
        let id = URL_SAFE_NO_PAD.encode(result.cred_id());
        let mut key = None;
        self.change(person, |items| {
            // Removed since it was asked for: it proves nothing any more.
            let used = items.iter_mut().find(|known| known.id == id);
            let used = used.ok_or(FactorError::Wrong)?;
            let mut passkey: prelude::Passkey = serde_json::from_str(&used.data).map_err(unavailable)?;
            if !is_later(result.counter(), counted(&used.data)?) {
                tracing::warn!(%person, passkey = id, "a passkey counts backwards: there may be a copy of it");
                return Err(FactorError::Wrong);
            }
            passkey.update_credential(&result);
            used.used_at = used.used_at.max(Some(now));
            used.data = serde_json::to_string(&passkey).map_err(unavailable)?;
            key = Some(passkey.get_public_key().clone());
            Ok(None)
        })
        .await?;
        key.ok_or(FactorError::Wrong)
    }

    /// Changes a person's passkeys, on top of whatever else changes them at the same time, and has the log tell it.
    async fn change(
        &self,
        person: &PersonId,
        mut change: impl FnMut(&mut Vec<Passkey>) -> Result<Option<News>, FactorError>,
    ) -> Result<(), FactorError> {
        for _ in 0..TRIES {
            let mut known = self.store.of(person).await.map_err(unavailable)?;
            let news = change(&mut known.items)?;
            let put = (self.store).put(person, known.version, &known.items, news.as_ref());
            match put.await {
                Err(StoreError::Conflict { .. }) => {}
                // Another person's, or one too many.
                Err(StoreError::Invalid { .. }) => return Err(FactorError::Wrong),
                put => return put.map_err(unavailable),
            }
        }
        Err(unavailable("too many changes at once"))
    }
}

/// The signature counter that was last seen of a passkey. The library compares with it as well, as it was when the ceremony began.
fn counted(data: &str) -> Result<u64, FactorError> {
    let passkey: Value = serde_json::from_str(data).map_err(unavailable)?;
    let counter = passkey.pointer("/cred/counter").and_then(Value::as_u64);
    counter.ok_or_else(|| unavailable("a passkey that is kept has no counter where it should be"))
}

fn is_later(counter: u32, last: u64) -> bool {
    u64::from(counter) > last || (counter == 0 && last == 0)
}

/// A public key as a JSON Web Key (RFC 7517, RFC 7518 §6, RFC 8037 §2).
fn web_key(key: &COSEKey) -> BTreeMap<String, String> {
    let bytes = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let parts = match &key.key {
        COSEKeyType::EC_EC2(ec) => {
            let curve = match ec.curve {
                ECDSACurve::SECP256R1 => "P-256",
                ECDSACurve::SECP384R1 => "P-384",
                ECDSACurve::SECP521R1 => "P-521",
            };
            vec![
                ("kty", "EC".to_owned()),
                ("crv", curve.to_owned()),
                ("x", bytes(&ec.x)),
                ("y", bytes(&ec.y)),
            ]
        }
        COSEKeyType::EC_OKP(okp) => {
            let curve = match okp.curve {
                EDDSACurve::ED25519 => "Ed25519",
                EDDSACurve::ED448 => "Ed448",
            };
            vec![
                ("kty", "OKP".to_owned()),
                ("crv", curve.to_owned()),
                ("x", bytes(&okp.x)),
            ]
        }
        COSEKeyType::RSA(rsa) => vec![
            ("kty", "RSA".to_owned()),
            ("n", bytes(&rsa.n)),
            ("e", bytes(&rsa.e)),
        ],
    };
    let parts = parts.into_iter().map(|(name, value)| (name.to_owned(), value));
    parts.collect()
}

fn read<T: DeserializeOwned>(answer: &str) -> Result<T, FactorError> {
    serde_json::from_str(answer).map_err(|_| FactorError::Wrong)
}

fn not_right(person: &PersonId, error: &WebauthnError) -> FactorError {
    tracing::warn!(%person, %error, "a passkey was not right");
    FactorError::Wrong
}

fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FactorError {
    FactorError::Unavailable {
        source: source.into(),
    }
}
