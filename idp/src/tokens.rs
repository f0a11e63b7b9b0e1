//! A provider that signs whatever claims a test wants: the npm package `oauth2-mock-server`.

use serde_json::{Value, json};

use crate::process::Process;

/// A provider of its own for one test. It ends with its value.
#[derive(Debug)]
pub struct Tokens {
    process: Process,
    /// Its issuer.
    pub issuer: String,
}

impl Tokens {
    /// Starts one with a key `one` for RS256.
    pub fn start() -> Self {
        let (process, first) = Process::start("tokens.mjs", &[]);
        let mut provider = Self {
            process,
            issuer: first["issuer"].as_str().unwrap().to_owned(),
        };
        provider.generate("RS256", "one");
        provider
    }

    /// Publishes one more key.
    pub fn generate(&mut self, alg: &str, kid: &str) {
        self.process
            .command(&json!({"command": "key", "alg": alg, "kid": kid}));
    }

    /// A token with these claims for an hour, signed with that key.
    pub fn token(&mut self, kid: &str, claims: &Value) -> String {
        let command = json!({"command": "token", "kid": kid, "claims": claims, "seconds": 3600});
        let answer = self.process.command(&command);
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Stops answering over the network.
    pub fn stop(&mut self) {
        self.process.command(&json!({"command": "stop"}));
    }

    /// Answers again, at the same place.
    pub fn start_again(&mut self) {
        self.process.command(&json!({"command": "start"}));
    }
}
