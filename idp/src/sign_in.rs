//! A provider that people sign in at: the npm package `oidc-provider`, with a form that asks for a name and takes everybody at their word.

use serde_json::json;

use crate::process::Process;

/// A provider of its own for one test. It ends with its value.
///
/// It knows two clients: `console`, with the secret `secret of the console`, and `public`, without one. Its ID tokens carry `groups`,
/// which is `["sre"]` for `alice` and `["sre-lead"]` for everyone else, and say `pwd` and `otp` in `amr`.
#[derive(Debug)]
pub struct SignIn {
    process: Process,
    /// Its issuer.
    pub issuer: String,
}

impl SignIn {
    /// Starts one to whose clients browsers come back at `redirect_uri`.
    pub fn start(redirect_uri: &str) -> Self {
        let (process, first) = Process::start("sign-in.mjs", &[redirect_uri]);
        Self {
            process,
            issuer: first["issuer"].as_str().unwrap().to_owned(),
        }
    }

    /// Stops answering over the network.
    pub fn stop(&mut self) {
        self.process.command(&json!({"command": "stop"}));
    }
}
