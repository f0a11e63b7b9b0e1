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
