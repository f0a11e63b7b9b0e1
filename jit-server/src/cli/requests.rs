//! `jit requests`: the requests that you may see.

use clap::Args;
use jit_core::approval::state::State;
use jit_core::id::ResourceName;

use super::answers::Request;
use super::connect::Connect;
use super::exit::Failure;
use super::inert::json;
use super::page;
use super::screen::{Shown, print, table, tell};

/// What `jit requests` is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct RequestsArgs {
    /// Only those that you asked for.
    #[arg(long)]
    pub mine: bool,
    /// Only those that wait for your review.
    #[arg(long)]
    pub reviewable: bool,
    /// Only those in one of these states, separated by commas, such as pending,active.
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',')]
    pub states: Vec<State>,
    /// Only those for this resource.
    #[arg(long, value_name = "NAME")]
    pub resource: Option<ResourceName>,
    /// At most this many, the newest first.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub limit: u16,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

pub(super) async fn run(args: &RequestsArgs) -> Result<(), Failure> {
    let mut query = Vec::new();
    if args.mine {
        query.push(("mine", "true".to_owned()));
    }
    if args.reviewable {
        query.push(("reviewable", "true".to_owned()));
    }
    if !args.states.is_empty() {
        let states: Vec<String> = args.states.iter().map(State::to_string).collect();
        query.push(("state", states.join(",")));
    }
    if let Some(resource) = &args.resource {
        query.push(("resource", resource.to_string()));
    }
    let list = List {
        query,
        limit: args.limit,
        column: ("DURATION", |request| request.duration.to_string()),
    };
    list.print(&args.connect, &args.shown).await
}

/// Which requests are listed, and with what in the column that is not the same for all lists.
pub(super) struct List {
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) limit: u16,
    pub(super) column: (&'static str, fn(&Request) -> String),
}

impl List {
    /// Reads them and prints them; says so if there are more.
    pub(super) async fn print(&self, connect: &Connect, shown: &Shown) -> Result<(), Failure> {
        let client = connect.client()?;
        let (items, more) = page::read(&client, "v1/requests", &self.query, self.limit.into()).await?;
        if shown.is_json() {
            return print(&json(&page::json(&items)));
        }
        let requests: Vec<Request> = page::items(&items)?;
        let (name, column) = self.column;
        print(&table(
            ["ID", "STATE", "REQUESTER", "RESOURCE", name, "ASKED AT", "REASON"],
            requests.into_iter().map(|request| {
                [
                    request.id.to_string(),
                    request.state.to_string(),
                    request.requester.name.to_string(),
                    request.resource.to_string(),
                    column(&request),
                    request.asked_at.to_string(),
                    request.reason.to_string(),
                ]
            }),
        ))?;
        if more {
            tell(&format!(
                "There are more than {}; see them with --limit.",
                self.limit
            ));
        }
        Ok(())
    }
}
