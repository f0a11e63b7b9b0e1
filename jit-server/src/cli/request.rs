//! `jit request`: asks for access, and may wait for it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, ValueEnum};
use jit_core::id::{PolicyName, RequestId, ResourceName};
use jit_core::span::Span;
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::answers::{Request, Standing};
use super::client::{Client, parsed};
use super::connect::Connect;
use super::exit::{Exit, Failure};
use super::retry::persistently;
use super::screen::{Shown, tell};
use super::show::show;
use super::wait::{Until, wait};

/// What is asked for, whoever asks.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct AskArgs {
    /// The resource's name in the policy.
    #[arg(short, long, value_name = "NAME")]
    pub resource: ResourceName,
    /// Why, for the people who decide and for the log.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// For how long, such as 30m; the policy's default if absent.
    #[arg(short, long, value_name = "DURATION")]
    pub duration: Option<Span>,
    /// The ticket that calls for it.
    #[arg(long, value_name = "TICKET")]
    pub ticket: Option<String>,
    /// Under which policy; the first that you are eligible for if absent.
    #[arg(long, value_name = "NAME")]
    pub policy: Option<PolicyName>,
    /// Only this method; may be given several times.
    #[arg(long = "method", value_name = "METHOD")]
    pub methods: Vec<String>,
    /// Only this path and what is below; may be given several times.
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<String>,
    /// At most this many HTTP requests.
    #[arg(long, value_name = "NUMBER")]
    pub max_requests: Option<u64>,
    /// How a gate recognises you under the grant.
    #[arg(long, value_enum, value_name = "HOW")]
    pub selector: Option<Selector>,
    /// Immediate access in an emergency. Another person looks into it afterwards.
    #[arg(long)]
    pub break_glass: bool,
}

/// How a gate recognises the holder of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(clippy::exhaustive_enums, reason = "a command line is its options")]
pub enum Selector {
    /// By who you are.
    Principal,
    /// By a secret that you take for this one grant: jit credential.
    Credential,
}

impl AskArgs {
    /// Whether the grant is opened by a credential of its own.
    pub(super) fn has_credential(&self) -> bool {
        self.selector == Some(Selector::Credential)
    }

    /// The body of the asking.
    pub(super) fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        put("resource", Some(self.resource.as_str().into()));
        put("reason", Some(self.reason.as_str().into()));
        put("duration", self.duration.map(|span| span.to_string().into()));
        put("ticket", self.ticket.as_deref().map(Value::from));
        put("policy", self.policy.as_ref().map(|name| name.as_str().into()));
        put(
            "methods",
            (!self.methods.is_empty()).then(|| self.methods.clone().into()),
        );
        put(
            "paths",
            (!self.paths.is_empty()).then(|| self.paths.clone().into()),
        );
        put("max_requests", self.max_requests.map(Value::from));
        put(
            "selector",
            self.selector.map(|selector| match selector {
                Selector::Principal => "principal".into(),
                Selector::Credential => "credential".into(),
            }),
        );
        put("break_glass", self.break_glass.then_some(true.into()));
        body
    }
}

/// Asks, and asks again under the same key while no answer comes: that makes one request, however often the answer is lost. Whoever is
/// told to `stop` hears at most the last word.
pub(super) async fn ask(
    client: &Client,
    body: &Value,
    key: &str,
    stop: watch::Receiver<bool>,
) -> Result<Value, Failure> {
    persistently(
        async || client.post_once("v1/requests", body, Some(key)).await,
        stop,
    )
    .await
}

/// A key that nobody has used.
pub(super) fn random_key() -> Result<String, Failure> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits)
        .map_err(|error| Failure::failed(format!("there is no randomness: {error}")))?;
    Ok(format!("jit-{}", URL_SAFE_NO_PAD.encode(bits)))
}

/// What `jit request` is told.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "With --wait it exits with 0 when access is granted, 4 when it is not, 5 when nobody has decided in time.\n\n\
    Without an answer (refused or broken connections, timeouts, 502, 503, 504) it asks again, at most four times and after a pause each, of \
    at most 15 s, under one Idempotency-Key: however often an answer is lost, there is one request."
)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct RequestArgs {
    /// What for.
    #[command(flatten)]
    pub ask: AskArgs,
    /// When the window opens, as in 2026-03-01T09:00:00Z; as soon as approved if absent.
    #[arg(long, value_name = "TIME")]
    pub start: Option<String>,
    /// The request whose grant this one continues.
    #[arg(long, value_name = "ID")]
    pub extends: Option<RequestId>,
    /// Wait until it is decided; for as long as that takes, or for at most this long.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true)]
    pub wait: Option<Option<Span>>,
    /// The same key again does not ask again, and answers the same request. A new one for each run if absent.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

pub(super) async fn run(args: &RequestArgs) -> Result<(), Failure> {
    let client = args.connect.client()?;
    let mut body = args.ask.body();
    if let Some(start) = &args.start {
        body.insert("start".to_owned(), start.as_str().into());
    }
    if let Some(id) = args.extends {
        body.insert("extends".to_owned(), id.to_string().into());
    }
    let key = match &args.idempotency_key {
        Some(key) => key.clone(),
        None => random_key()?,
    };
    let (_stop, never) = watch::channel(false);
    let asked = ask(&client, &body.into(), &key, never).await?;
    let answer = match args.wait {
        None => asked,
        Some(limit) => {
            let request: Request = parsed(&asked)?;
            if request.standing() == Standing::Pending {
                // A job's log is where somebody finds what to approve.
                tell(&format!(
                    "{}: asked for {}, waiting until it is decided",
                    request.id, request.resource
                ));
            }
            wait(&client, asked, Until::Granted, limit)
                .await
                .map_err(|mut failure| {
                    if failure.exit == Exit::StillPending {
                        failure
                            .text
                            .push_str(&format!("; take it back: jit withdraw {}", request.id));
                    }
                    failure
                })?
        }
    };
    show(&answer, args.shown.is_json())
}
