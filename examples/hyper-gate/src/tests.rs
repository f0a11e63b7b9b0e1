use jit_core::approval::request::Request as Asked;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// Noon of a day, for as long as the test runs.
#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        "2030-01-01T12:00:00Z".parse().unwrap()
    }
}

/// What a broker would publish: Ana may use `/admin` until one o'clock.
fn granted() -> Asked {
    let id = format!("{:032x}", 1);
    let ana = json!({"issuer": "local", "subject": "ana"});
    let admin = json!({"name": "admin", "hosts": ["127.0.0.1"], "paths": ["/admin"]});
    let terms = json!({
        "policy": "admin", "requesters": {}, "duration": {"default": "1h", "max": "1h", "max_total": "1h"},
        "pending_timeout": "1h", "use_within": null, "idle_timeout": null, "cooldown": null,
        "reason": {"required": false, "min_length": 0}, "ticket": {"required": false, "pattern": null}, "mfa": null,
        "limits": {"requests": null, "bytes": null, "concurrent": null, "active_per_person": null},
        "stages": [], "automatic": {"always": true, "rules": []}, "break_glass": null,
    });
    let noon = "2030-01-01T12:00:00Z";
    serde_json::from_value(json!({
        "id": format!("req_{id}"), "digest": Digest::ZERO.to_string(),
        "requester": {"principal": ana, "person": "ana", "name": "Ana"},
        "ruling": {
            "terms": terms, "resource": admin, "scope": {}, "duration": "1h", "start": null, "reason": "", "ticket": null,
            "max_requests": null, "max_bytes": null, "selector": "principal", "route": {"automatic": {"rule": null}},
        },
        "extends": null, "extended_by": [], "approvers": [], "asked_at": noon, "stage_since": noon, "pending_until": noon,
        "state": "active", "stage": 0, "reviews": [],
        "grant": {
            "id": format!("grt_{id}"), "holder": ana, "person": "ana", "selector": "principal", "policy": "admin",
            "resource": admin, "scope": {}, "not_before": noon, "not_after": "2030-01-01T13:00:00Z", "use_within": null,
            "idle_timeout": null, "max_requests": null, "max_bytes": null, "max_concurrent": null, "mfa": null, "extends": null,
        },
        "last_used": null, "end": null, "break_glass": null, "changed_at": noon,
    }))
    .unwrap()
}

#[tokio::test]
async fn a_request_over_a_socket_needs_a_grant() {
    let gate = gate(Arc::new(Noon)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, gate.clone()));
    let get = async |path: &str, field: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{field}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let token = "Authorization: Bearer demo\r\n";
    for (path, field, status, text) in [
        ("/", "", "200", "open to everyone"),
        ("/admin", "", "401", "unauthenticated"),
        ("/admin", token, "403", "approval-required"),
        ("/admin/../", token, "400", "bad-request-target"),
    ] {
        let answer = get(path, field).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
        assert!(answer.contains(text), "{path}: {answer}");
    }
    gate.enforcer().publish(1, &granted());
    let answer = get("/admin", token).await;
    assert!(
        answer.ends_with("local|ana until 2030-01-01 13:00:00 UTC\n"),
        "{answer}"
    );
    gate.enforcer().shut(granted().grant.unwrap().id);
    assert!(get("/admin", token).await.starts_with("HTTP/1.1 403 "));
}
