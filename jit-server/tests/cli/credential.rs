//! The secret that opens one grant.

use crate::served::{Served, serve};
use crate::world::id;

const HEADER: &str = "jit-credential";

async fn asked(served: &Served, selector: &str) -> String {
    let args = [
        "request",
        "-r",
        "admin",
        "--reason",
        "a job",
        "--break-glass",
        "--selector",
        selector,
        "-o",
        "json",
    ];
    let asked = served.jit("alice", &args).await.done(&[]).json();
    assert_eq!(
        (&asked["state"], &asked["selector"]),
        (&"active".into(), &selector.into())
    );
    id(&asked).to_owned()
}

/// The one line that is a credential.
fn secret(out: &str) -> &str {
    let line = out.strip_suffix('\n').unwrap();
    assert!(
        line.starts_with("jitg_") && line.len() > 40 && !line.contains(char::is_whitespace),
        "{out}"
    );
    line
}

#[tokio::test]
async fn a_credential_is_printed_once_and_opens_its_grant_until_the_next_one() {
    let served = serve().await;
    let one = asked(&served, "credential").await;
    let take = ["credential", "take", &one];
    let rotate = ["credential", "rotate", &one];
    let early = served.jit("alice", &rotate).await;
    early.ended(7, &["no credential yet", &format!("jit credential take {one}")]);

    let first = served
        .jit("alice", &take)
        .await
        .ended(0, &[&one, HEADER, "until"]);
    let first_secret = secret(&first.out);
    assert!(!first.err.contains(first_secret), "{}", first.err);
    assert_eq!(served.open("/admin", &[(HEADER, first_secret)]).await, 200);
    let shown = served
        .jit("alice", &["show", &one])
        .await
        .done(&["a credential of its own, issued at"]);
    assert!(!shown.out.contains(first_secret));

    let again = served.jit("alice", &take).await;
    let again = again.ended(
        7,
        &["has a credential since", &format!("jit credential rotate {one}")],
    );
    assert_eq!(again.out, "");
    assert_eq!(
        served.open("/admin", &[(HEADER, first_secret)]).await,
        200,
        "it is still good"
    );

    let second = served.jit("alice", &rotate).await.done(&[]);
    let second_secret = secret(&second.out);
    assert_ne!(served.open("/admin", &[(HEADER, first_secret)]).await, 200);
    assert_eq!(served.open("/admin", &[(HEADER, second_secret)]).await, 200);

    let third = served
        .jit("alice", &[&rotate[..], &["-o", "json"]].concat())
        .await
        .done(&[]);
    assert_eq!(third.err, "");
    let third = third.json();
    assert_eq!(third["request"]["id"], one.as_str());
    let third = third["credential"].as_str().unwrap();
    assert_eq!(served.open("/admin", &[(HEADER, third)]).await, 200);

    // It is its holder's to take, and nobody else's.
    for who in ["bob", "erin"] {
        let refused = served.jit(who, &rotate).await.ended(3, &["error: "]);
        assert_eq!(refused.out, "", "{who}");
    }
    assert_eq!(served.open("/admin", &[(HEADER, third)]).await, 200);
    let log = served.stop().await;
    for secret in [first_secret, second_secret, third] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn a_grant_without_one_has_none() {
    let served = serve().await;
    let one = asked(&served, "principal").await;
    for what in ["take", "rotate"] {
        let refused = served.jit("alice", &["credential", what, &one]).await;
        assert_eq!((refused.code, refused.out.as_str()), (3, ""), "{refused:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn a_job_has_its_credential_in_its_environment() {
    let served = serve().await;
    let args = [
        "with",
        "-r",
        "admin",
        "--reason",
        "a job",
        "--break-glass",
        "--selector",
        "credential",
        "--",
        "sh",
        "-c",
        "echo $JIT_CREDENTIAL",
    ];
    let with = served.jit("alice", &args).await.ended(0, &["released"]);
    let secret = secret(&with.out);
    assert!(!with.err.contains(secret));
    assert_ne!(
        served.open("/admin", &[(HEADER, secret)]).await,
        200,
        "it has ended with the grant"
    );
    served.stop().await;
}
