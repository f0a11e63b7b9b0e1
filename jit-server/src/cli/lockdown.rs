//! `jit lockdown`: shutting everything that matches, and lifting that again.

use clap::{Args, Subcommand};
use jit_core::id::{LockdownId, PersonId, Principal, ResourceName, Role};
use serde_json::{Value, json};

use super::answers::Lockdown;
use super::client::parsed;
use super::connect::Connect;
use super::exit::Failure;
use super::inert;
use super::page;
use super::screen::{Shown, print, table, tell};

/// What `jit lockdown` does.
#[derive(Debug, Clone, Subcommand)]
#[expect(clippy::exhaustive_enums, reason = "a command line is its options")]
pub enum LockdownCommand {
    /// Lists the lockdowns in force.
    List(ListArgs),
    /// Ends every grant that matches, and grants nothing that matches until it is lifted.
    Set(SetArgs),
    /// Lifts a lockdown. What it ended stays ended.
    Lift(LiftArgs),
}

/// What `jit lockdown list` is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct ListArgs {
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

/// What `jit lockdown set` is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct SetArgs {
    /// What is locked down.
    #[command(flatten)]
    pub target: Target,
    /// Why. Shown to whoever asks for what is locked down.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

/// What a lockdown matches: exactly one of these.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct Target {
    /// One identity, as in issuer|subject.
    #[arg(long, value_name = "PRINCIPAL")]
    pub principal: Option<Principal>,
    /// One person, under every identity.
    #[arg(long, value_name = "ID")]
    pub person: Option<PersonId>,
    /// Everyone with this role.
    #[arg(long, value_name = "NAME")]
    pub role: Option<Role>,
    /// One resource.
    #[arg(long, value_name = "NAME")]
    pub resource: Option<ResourceName>,
    /// Everything and everyone.
    #[arg(long)]
    pub all: bool,
}

impl Target {
    fn body(&self) -> Value {
        if let Some(principal) = &self.principal {
            return json!({"principal": {"issuer": principal.issuer(), "subject": principal.subject()}});
        }
        if let Some(person) = &self.person {
            return json!({"person": person.as_str()});
        }
        if let Some(role) = &self.role {
            return json!({"role": role.as_str()});
        }
        if let Some(resource) = &self.resource {
            return json!({"resource": resource.as_str()});
        }
        json!({"all": self.all})
    }
}

/// What `jit lockdown lift` is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct LiftArgs {
    /// The lockdown's id.
    pub id: LockdownId,
    /// Why, for the log.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

impl LockdownCommand {
    pub(super) const fn shown(&self) -> &Shown {
        match self {
            Self::List(args) => &args.shown,
            Self::Set(args) => &args.shown,
            Self::Lift(args) => &args.shown,
        }
    }
}

pub(super) async fn run(command: &LockdownCommand) -> Result<(), Failure> {
    match command {
        LockdownCommand::List(args) => list(args).await,
        LockdownCommand::Set(args) => set(args).await,
        LockdownCommand::Lift(args) => lift(args).await,
    }
}

async fn list(args: &ListArgs) -> Result<(), Failure> {
    let answer = args.connect.client()?.get("v1/lockdowns", &[]).await?;
    if args.shown.is_json() {
        return print(&inert::json(&answer));
    }
    let items = answer
        .get("items")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let lockdowns: Vec<Lockdown> = page::items(&items)?;
    for lockdown in &lockdowns {
        if let Some(warning) = &lockdown.warning {
            tell(&format!("warning: {}: {warning}", lockdown.id));
        }
    }
    shown(&lockdowns)
}

async fn set(args: &SetArgs) -> Result<(), Failure> {
    let mut body = args.target.body();
    body["reason"] = args.reason.as_str().into();
    let answer = args.connect.client()?.post("v1/lockdowns", &body).await?;
    if args.shown.is_json() {
        return print(&inert::json(&answer));
    }
    let lockdown: Lockdown = parsed(&answer)?;
    if let Some(warning) = &lockdown.warning {
        let lift = format!("jit lockdown lift {} --reason \"a slip\"", lockdown.id);
        tell(&format!("warning: {warning}; to lift it: {lift}"));
    }
    shown(&[lockdown])
}

async fn lift(args: &LiftArgs) -> Result<(), Failure> {
    let body = json!({"reason": args.reason});
    let path = format!("v1/lockdowns/{}/lift", args.id);
    args.connect.client()?.post(&path, &body).await?;
    if args.shown.is_json() {
        return print("{}");
    }
    print(&format!("{} is lifted", args.id))
}

fn shown(lockdowns: &[Lockdown]) -> Result<(), Failure> {
    print(&table(
        ["ID", "WHAT", "DECLARED BY", "AT", "REASON"],
        lockdowns.iter().map(|lockdown| {
            [
                lockdown.id.to_string(),
                what(lockdown),
                lockdown.declared_by.person.to_string(),
                lockdown.at.to_string(),
                lockdown.reason.to_string(),
            ]
        }),
    ))
}

fn what(lockdown: &Lockdown) -> String {
    if let Some(principal) = &lockdown.principal {
        return format!("principal {}|{}", principal.issuer, principal.subject);
    }
    let named = [
        ("person", &lockdown.person),
        ("role", &lockdown.role),
        ("resource", &lockdown.resource),
    ];
    let named = named
        .into_iter()
        .find_map(|(kind, name)| name.as_ref().map(|name| format!("{kind} {name}")));
    named.unwrap_or_else(|| "everything".to_owned())
}
