//! `jit policies`: what may be asked for, and who must agree.

use clap::Args;
use serde_json::Value;

use super::answers::{Offer, OfferedStage};
use super::connect::Connect;
use super::exit::Failure;
use super::inert;
use super::page;
use super::screen::{Shown, print, table, tell};
use super::show::{people, place};

/// What `jit policies` is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct PoliciesArgs {
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

pub(super) async fn run(args: &PoliciesArgs) -> Result<(), Failure> {
    let answer = args.connect.client()?.get("v1/policies", &[]).await?;
    if args.shown.is_json() {
        return print(&inert::json(&answer));
    }
    let items = answer.get("items").and_then(Value::as_array);
    let offers: Vec<Offer> = page::items(&items.cloned().unwrap_or_default())?;
    if offers.is_empty() {
        tell("There is nothing that you may ask for.");
    }
    print(&table(
        ["RESOURCE", "WHERE", "POLICY", "AT MOST", "WHO MUST AGREE"],
        offers.iter().map(|offer| {
            [
                offer.resource.to_string(),
                place(&offer.definition),
                offer.policy.to_string(),
                (offer.break_glass.as_ref())
                    .map_or(&offer.duration.max, |glass| &glass.max)
                    .to_string(),
                agreement(offer),
            ]
        }),
    ))
}

fn agreement(offer: &Offer) -> String {
    if offer.break_glass.is_some() {
        return "nobody: --break-glass, looked into afterwards".to_owned();
    }
    match offer.automatic.as_str() {
        "always" => "nobody".to_owned(),
        "sometimes" => format!("{}; in some cases nobody", stages(&offer.stages)),
        _ => stages(&offer.stages),
    }
}

fn stages(stages: &[OfferedStage]) -> String {
    let each = |stage: &OfferedStage| format!("{} of {}", stage.quorum, people(&stage.approvers));
    stages.iter().map(each).collect::<Vec<_>>().join(", then ")
}
