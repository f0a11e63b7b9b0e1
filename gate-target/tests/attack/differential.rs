//! The gate's reading of a path against the worst upstream's: whatever the gate leaves open, no reading of it leads below `/admin`.
//!
//! A debug build tries fewer paths than a release build; the full test command runs this in release.

use gate_target::house::{Grants, House};
use gate_target::upstream::is_protected;
use http::header::HOST;
use http::{Request, Uri};
use jit_core::gate::refusal::Refusal;
use jit_core::gate::{Gate, Verdict};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

fn encoded(c: char) -> String {
    let mut bytes = [0; 4];
    let bytes = c.encode_utf8(&mut bytes).bytes();
    bytes.map(|b| format!("%{b:02x}")).collect()
}

/// Characters that some folding turns into one of `admin`, a dot, a slash, a semicolon or nothing.
const ALIKE: [char; 44] = [
    '\u{ff41}',
    '\u{aa}',
    '\u{1d400}',
    '\u{24d0}',
    '\u{1d41a}',
    '\u{217e}',
    '\u{ff24}',
    '\u{216f}',
    '\u{1d426}',
    '\u{131}',
    '\u{130}',
    '\u{2170}',
    '\u{2139}',
    '\u{2071}',
    '\u{1d5f6}',
    '\u{207f}',
    '\u{24dd}',
    '\u{2e}',
    '\u{ff0e}',
    '\u{2024}',
    '\u{2025}',
    '\u{2026}',
    '\u{fe52}',
    '\u{2f}',
    '\u{ff0f}',
    '\u{5c}',
    '\u{ff3c}',
    '\u{fe68}',
    '\u{3b}',
    '\u{37e}',
    '\u{ff1b}',
    '\u{200b}',
    '\u{ad}',
    '\u{feff}',
    '\u{180e}',
    '\u{e0061}',
    '\u{20}',
    '\u{a0}',
    '\u{3000}',
    '\u{ff1f}',
    '\u{ff03}',
    '\u{ff05}',
    '\u{2100}',
    '\u{2488}',
];

fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => select(&["/", "/admin", "/x", "admin", "adm", "in", "ADMIN", ".", "..", ";", ";x", "%2e", "%61", "%20", "%2f", "%5c", "%00", "a", "dm"][..])
            .prop_map(str::to_owned),
        4 => select(&ALIKE[..]).prop_map(encoded),
        1 => any::<char>().prop_map(encoded),
        1 => "[!-~]",
        1 => "%[0-9a-f]{2}",
    ];
    proptest::collection::vec(piece, 1..7).prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn is_open(gate: &Gate, path: &str) -> Option<bool> {
    let uri = Uri::try_from(path).ok()?;
    let head = Request::builder()
        .uri(uri)
        .header(HOST, "app.example.com")
        .body(())
        .ok()?;
    Some(match gate.decide(&head.into_parts().0, None) {
        Verdict::Open(_) => true,
        Verdict::Refuse(Refusal::BadTarget(_) | Refusal::Unauthenticated) => false,
        Verdict::Control { .. } => return None,
        verdict => panic!("{path}: {verdict:?}"),
    })
}

#[tokio::test]
async fn what_the_gate_leaves_open_leads_nowhere_else() {
    let house = House::build(Grants::None).await.unwrap();
    let cases = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let (open, shut) = (std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u32));
    let outcome = TestRunner::new(config).run(&path(), |path| {
        match is_open(house.gate(), &path) {
            Some(true) => {
                // The upstream is sent what `Uri` kept: without a fragment, and with the query apart.
                let uri = Uri::try_from(path.as_str()).unwrap();
                prop_assert!(!is_protected(uri.path()), "{} is open", path);
                open.set(open.get() + 1);
            }
            Some(false) => shut.set(shut.get() + 1),
            None => {}
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{cases} paths: {} open, {} not", open.get(), shut.get());
    assert!(open.get() > cases / 50 && shut.get() > cases / 50);
}
