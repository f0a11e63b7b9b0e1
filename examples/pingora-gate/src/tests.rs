use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::run;

/// An upstream that says which one it is, and then nothing more below `/admin/events`.
fn upstream(name: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap() == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                let length = name.len();
                let open = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
                if head.starts_with(b"GET /admin/events ") {
                    write!(
                        stream,
                        "{open}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{name}\r\n"
                    )
                    .unwrap();
                    // Nothing more, until the balancer lets go.
                    let _ = stream.read(&mut [0]);
                } else {
                    write!(stream, "{open}Content-Length: {length}\r\n\r\n{name}").unwrap();
                }
            });
        }
    });
    at
}

fn send(at: SocketAddr, head: &str, token: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    stream
}

fn call(at: SocketAddr, head: &str, token: &str, body: &str) -> (u16, String) {
    let mut answer = String::new();
    send(at, head, token, body).read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn refused_granted_balanced_revoked_and_cut() {
    let upstreams = [upstream("one"), upstream("two")];
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::thread::spawn(move || run(&at.to_string(), &upstreams));
    while TcpStream::connect(at).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }

    assert_eq!(call(at, "GET /", "wrong", "").0, 200);
    assert_eq!(call(at, "GET /admin", "wrong", "").0, 401);
    let (status, body) = call(at, "GET /admin", "demo-ana", "");
    assert_eq!(status, 403);
    assert!(body.contains("approval-required"), "{body}");

    let ask = r#"{"resource": "admin", "reason": "rotate the keys"}"#;
    let (status, body) = call(at, "POST /_jit/v1/requests", "demo-ana", ask);
    assert_eq!(status, 201, "{body}");
    let place = body.find("req_").unwrap();
    let id = &body[place..place + 36];

    let admin = || {
        let (status, name) = call(at, "GET /admin/keys", "demo-ana", "");
        assert_eq!(status, 200);
        name
    };
    let met: BTreeSet<_> = (0..4).map(|_| admin()).collect();
    assert_eq!(met, ["one".to_owned(), "two".to_owned()].into());

    // A stream that is under way ends with the grant.
    let mut events = send(at, "GET /admin/events", "demo-ana", "");
    let mut came = Vec::new();
    while !(came.ends_with(b"one\r\n") || came.ends_with(b"two\r\n")) {
        let mut byte = [0];
        assert_eq!(events.read(&mut byte).unwrap(), 1);
        came.push(byte[0]);
    }
    let revoke = format!("POST /_jit/v1/requests/{id}/revoke");
    let (status, body) = call(at, &revoke, "demo-lee", r#"{"reason": "done"}"#);
    assert_eq!(status, 200, "{body}");
    let end = events.read(&mut [0]);
    assert!(!matches!(end, Ok(1..)) && !is_timeout(&end), "{end:?}");
    assert_eq!(call(at, "GET /admin/keys", "demo-ana", "").0, 403);
}

fn is_timeout(end: &std::io::Result<usize>) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    end.as_ref()
        .is_err_and(|error| matches!(error.kind(), TimedOut | WouldBlock))
}
