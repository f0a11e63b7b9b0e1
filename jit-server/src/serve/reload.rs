//! SIGHUP: policy, people, certificates and authorities are read again.
//!
//! 1. All of it is read and checked before any of it counts. One wrong file, and everything stays as it was; the log says what is wrong.
//! 2. The gate decides by the new rules first, then people and tokens change, then the broker holds what is pending and live against the
//!    new policy: nothing new is open before what protects it is known. Whoever lost a role loses what they held by it.
//! 3. `jit.toml` itself is not read again: listeners, upstreams and limits want a restart.

use std::sync::Arc;

use jit_core::broker::Rejection;

use super::config::Files;
use super::papers::Papers;
use super::wiring::Current;
use super::{measures, notify};

/// Reads everything again, and puts it in force.
pub(super) async fn reload(files: &Files, current: &Current) {
    notify::tell(notify::Phase::Reloading);
    let (files, clock) = (files.clone(), Arc::clone(&current.clock));
    // Files are read where nobody waits for it.
    let read = tokio::task::spawn_blocking(move || Papers::read(&files, &clock)).await;
    match read {
        Ok(Ok(papers)) => put_in_force(papers, current).await,
        Ok(Err(problems)) => {
            for problem in problems.lines() {
                tracing::error!(problem, "a file can't be used");
            }
            tracing::error!("nothing was reloaded: what was in force stays in force");
            measures::reloaded("refused");
        }
        Err(error) => {
            tracing::error!(%error, "nothing was reloaded");
            measures::reloaded("failed");
        }
    }
    notify::tell(notify::Phase::Ready);
}

async fn put_in_force(papers: Papers, current: &Current) {
    for warning in papers.warnings(&*current.clock) {
        tracing::warn!("{warning}");
    }
    current.gate.set_rules(papers.rules);
    let mappings = papers.policy.mappings().clone();
    // Two people can't share a token: the file was checked.
    if let Err(error) = current.identity.replace(papers.people, mappings) {
        tracing::error!(%error, "people stay as they were");
    }
    for gate in [Some(&current.gate), current.desk.as_ref()].into_iter().flatten() {
        gate.forget_sessions();
    }
    for (shown, read) in [
        (&current.gate_tls, papers.gate_tls),
        (&current.console_tls, papers.console_tls),
    ] {
        if let (Some(shown), Some(read)) = (shown, read) {
            shown.replace(read);
        }
    }
    current.upstreams.trust(papers.trusts);
    let broker = &current.broker;
    let held: Result<(), Rejection> = match broker.set_policy(papers.policy).await {
        Ok(()) => broker.recheck().await,
        failed => failed,
    };
    match held {
        Ok(()) => {
            tracing::info!("reloaded");
            measures::reloaded("done");
        }
        Err(error) => {
            tracing::error!(%error, "the new files are in force, but not everything live was held against them; send SIGHUP again");
            measures::reloaded("failed");
        }
    }
}
