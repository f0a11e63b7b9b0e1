//! An authenticator in software: one key, and whatever it is told to claim.

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jit_core::id::Digest;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

pub(crate) fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) struct Token {
    key: SigningKey,
    pub(crate) id: Vec<u8>,
    /// How often it has signed.
    pub(crate) counter: Cell<u32>,
    /// Whether it verifies its person, or only notices a touch.
    pub(crate) verifies: bool,
    pub(crate) origin: &'static str,
}

impl Token {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            key: SigningKey::from_slice(&[seed; 32]).unwrap(),
            id: vec![seed; 16],
            counter: Cell::new(0),
            verifies: true,
            origin: "http://localhost:8081",
        }
    }

    fn client_data(&self, kind: &str, options: &Value) -> String {
        let challenge = options["publicKey"]["challenge"].as_str().unwrap();
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false}).to_string()
    }

    /// The relying party, the flags, and how often it has signed.
    fn data(&self, rp: &Value, flags: u8) -> Vec<u8> {
        self.counter.set(self.counter.get() + 1);
        let verified = if self.verifies { 0x04 } else { 0 };
        let rp = Digest::plain(rp.as_str().unwrap().as_bytes());
        let mut data = rp.as_bytes().to_vec();
        data.push(0x01 | verified | flags);
        data.extend(self.counter.get().to_be_bytes());
        data
    }

    /// What `navigator.credentials.create` answers.
    pub(crate) fn create(&self, options: &Value) -> String {
        let wants = &options["publicKey"]["authenticatorSelection"]["userVerification"];
        assert_eq!(wants, "required");
        let client = self.client_data("webauthn.create", options);
        let mut data = self.data(&options["publicKey"]["rp"]["id"], 0x40);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        let point = self.key.verifying_key().to_sec1_point(false);
        // The key in CBOR (RFC 9052): EC2, ES256, P-256, x, y.
        data.extend([0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32]);
        data.extend(point.x().unwrap());
        data.extend([0x22, 0x58, 32]);
        data.extend(point.y().unwrap());
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(data);
        json!({
            "id": text(&self.id), "rawId": text(&self.id), "type": "public-key",
            "response": {"clientDataJSON": text(client.as_bytes()), "attestationObject": text(&object)},
        })
        .to_string()
    }

    /// What `navigator.credentials.get` answers.
    pub(crate) fn get(&self, options: &Value) -> String {
        assert_eq!(options["publicKey"]["userVerification"], "required");
        let client = self.client_data("webauthn.get", options);
        let data = self.data(&options["publicKey"]["rpId"], 0);
        let mut signed = data.clone();
        signed.extend(Digest::plain(client.as_bytes()).as_bytes());
        let signature: Signature = self.key.sign(&signed);
        json!({
            "id": text(&self.id), "rawId": text(&self.id), "type": "public-key",
            "response": {
                "clientDataJSON": text(client.as_bytes()), "authenticatorData": text(&data),
                "signature": text(signature.to_der().as_bytes()), "userHandle": null,
            },
        })
        .to_string()
    }
}
