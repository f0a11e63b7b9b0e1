//! Every row of both corpora through every door that there is.

use std::time::Duration;

use gate_target::corpus::{Expect, Got, Grade, Report, Row, parse};
use gate_target::door::Door;
use gate_target::house::Grants;

const REQUESTS: &str = include_str!("../../corpus/requests.jsonl");
const MORE: &str = include_str!("../../corpus/more.jsonl");

/// The rows that are refused in another way than expected, and why that is as good. A new one fails the test.
const SOFT: [(&str, &str); 0] = [];

/// Longer than the corpus asks for, so that a busy machine is no failure.
const WAIT: Duration = Duration::from_secs(3);

fn rows() -> Vec<Row> {
    let mut rows = parse("requests.jsonl", REQUESTS).unwrap();
    rows.extend(parse("more.jsonl", MORE).unwrap());
    rows
}

async fn check(door: Door) {
    let report = Report::of_door(door, &rows(), &Grants::ALL, WAIT).await.unwrap();
    let of = |grade| {
        let outcomes = report
            .outcomes()
            .iter()
            .filter(move |outcome| outcome.grade == grade);
        outcomes
            .map(|outcome| outcome.row.id.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(Grade::Hard), [""; 0], "{report}");
    assert_eq!(of(Grade::Soft), SOFT.map(|(id, _)| id), "{report}");
    for outcome in report.outcomes() {
        for reply in &outcome.replies {
            assert_eq!(reply.field("x-posed-as"), None, "{outcome}");
        }
        // What was decided is what was forwarded: the upstream saw the target that the row sent.
        if matches!(outcome.got, Got::Admin | Got::Public) {
            let saw = outcome
                .replies
                .last()
                .and_then(|reply| reply.field("x-saw"))
                .unwrap();
            let saw: String = saw.trim_start_matches('/').to_owned();
            assert!(outcome.row.raw.contains(&saw), "{outcome}: {saw}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_gets_past_axum() {
    check(Door::Axum).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_gets_past_hyper() {
    check(Door::Hyper).await;
}

#[cfg(feature = "pingora")]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_gets_past_pingora() {
    check(Door::Pingora).await;
}

/// What pingora makes something else of gets no further than what it makes of it: nobody without a grant gets in.
#[cfg(feature = "pingora")]
#[tokio::test(flavor = "multi_thread")]
async fn what_pingora_is_excused_for_lets_nobody_in() {
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let excused: Vec<_> = rows()
        .into_iter()
        .filter(|row| Door::Pingora.excuse(&row.id).is_some())
        .collect();
    assert_eq!(excused.len(), 32);
    for grants in Grants::ALL {
        let of_kind: Vec<_> = excused
            .iter()
            .filter(|row| row.grant == grants)
            .cloned()
            .collect();
        let target = gate_target::door::Target::start(Door::Pingora, grants, listen)
            .await
            .unwrap();
        let mut wire = gate_target::corpus::Wire::new(target.address(), target.token());
        wire.wait = WAIT;
        for outcome in gate_target::corpus::run(&of_kind, &wire).await.unwrap() {
            assert!(!outcome.leaked, "{outcome}");
            let held = outcome.row.id == "more-reqline-015" && grants == Grants::Admin;
            let served = matches!(outcome.got, Got::Admin | Got::Public);
            assert_eq!(served, held, "{outcome}");
        }
    }
}

/// The corpus can fail: an upstream without a gate in front of it is caught by it.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_gate_the_corpus_fails() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = tokio::spawn(gate_target::upstream::serve(listener));
    let rows: Vec<_> = rows()
        .into_iter()
        .filter(|row| row.group == "pathenc" && row.expect != Expect::AllowPublic)
        .collect();
    let mut wire = gate_target::corpus::Wire::new(address, "demo-alice");
    wire.wait = WAIT;
    let outcomes = gate_target::corpus::run(&rows, &wire).await.unwrap();
    upstream.abort();
    let hard = outcomes
        .iter()
        .filter(|outcome| outcome.grade == Grade::Hard)
        .count();
    // Hyper answers a few of them itself.
    assert!(hard * 10 > rows.len() * 7, "{hard} of {}", rows.len());
}
