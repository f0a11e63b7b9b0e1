//! `jit grants`: what is open now, and for how long.

use std::time::Duration;

use clap::Args;
use jit_core::span::Span;
use tokio::time::{MissedTickBehavior, interval};

use super::answers::{LiveGrant, Remaining};
use super::client::Client;
use super::connect::Connect;
use super::exit::Failure;
use super::inert::json;
use super::page;
use super::screen::{Shown, print, table};
use super::show::joined;
use super::signals::Signals;

/// Most that are listed.
const LIMIT: usize = 10_000;
/// How often a watch looks again.
const PACE: Duration = Duration::from_secs(2);

/// What `jit grants` is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct GrantsArgs {
    /// Look every two seconds, and print the list anew when a grant has come, gone or changed, until stopped.
    #[arg(short, long)]
    pub watch: bool,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

pub(super) async fn run(args: &GrantsArgs) -> Result<(), Failure> {
    let client = args.connect.client()?;
    if !args.watch {
        return print(&list(&client, args.shown.is_json()).await?.0);
    }
    let mut signals =
        Signals::listen().map_err(|error| Failure::failed(format!("signals can't be heard: {error}")))?;
    tokio::select! {
        watched = watch(&client, args.shown.is_json()) => watched,
        // Stopped as asked.
        _ = signals.next() => Ok(()),
    }
}

/// Prints the list whenever it is another one, until it can't be had.
async fn watch(client: &Client, as_json: bool) -> Result<(), Failure> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown: Option<Vec<String>> = None;
    loop {
        pace.tick().await;
        let (text, grants) = list(client, as_json).await?;
        if shown.as_ref() != Some(&grants) {
            let gap = if shown.is_some() && !as_json { "\n" } else { "" };
            print(&format!("{gap}{text}"))?;
            shown = Some(grants);
        }
    }
}

/// The list, and what of it does not change by itself.
async fn list(client: &Client, as_json: bool) -> Result<(String, Vec<String>), Failure> {
    let (items, _) = page::read(client, "v1/grants", &[], LIMIT).await?;
    let grants: Vec<LiveGrant> = page::items(&items)?;
    let lasting = grants
        .iter()
        .map(|grant| format!("{} {} {}", grant.request_id, grant.state, grant.window.not_after));
    let lasting = lasting.collect();
    if as_json {
        return Ok((json(&page::json(&items)), lasting));
    }
    let rows = grants.into_iter().map(|grant| {
        [
            grant.request_id.to_string(),
            grant.state.to_string(),
            grant.person.to_string(),
            grant.resource.to_string(),
            only(&grant),
            left(&grant.remaining),
            grant.window.not_after.to_string(),
        ]
    });
    let text = table(
        ["REQUEST", "STATE", "PERSON", "RESOURCE", "ONLY", "LEFT", "UNTIL"],
        rows,
    );
    Ok((text, lasting))
}

fn only(grant: &LiveGrant) -> String {
    let scope = &grant.scope;
    let parts = [joined(&scope.methods), joined(&scope.paths)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

/// The time until it opens, or until the first of its ends.
fn left(remaining: &Remaining) -> String {
    let span =
        |seconds: u64| Span::seconds(seconds).map_or_else(|_| "0s".to_owned(), |span| span.to_string());
    if remaining.starts_in > 0 {
        return format!("opens in {}", span(remaining.starts_in));
    }
    let expires = remaining.expires_in;
    match (remaining.unused_in, remaining.idle_in) {
        (Some(unused), _) if unused < expires => format!("{} unless used", span(unused)),
        (None, Some(idle)) if idle < expires => format!("{} unless used again", span(idle)),
        _ => span(expires),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_is_what_is_left() {
        for (starts_in, expires_in, unused_in, idle_in, expected) in [
            (60, 120, Some(30), None, "opens in 1m"),
            (0, 90, None, None, "1m 30s"),
            (0, 90, Some(30), Some(10), "30s unless used"),
            (0, 90, None, Some(10), "10s unless used again"),
            (0, 9, Some(30), Some(10), "9s"),
            (0, 0, None, None, "0s"),
        ] {
            let remaining = Remaining {
                starts_in,
                expires_in,
                unused_in,
                idle_in,
            };
            assert_eq!(left(&remaining), expected, "{remaining:?}");
        }
    }
}
