use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::*;

/// Over a real socket, from a thread of its own.
async fn call(at: SocketAddr, head: &'static str, token: &'static str, body: &'static str) -> (u16, String) {
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        let length = body.len();
        write!(
            stream,
            "{head} HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn refused_asked_granted_admitted_over_a_socket() {
    let (broker, gate) = house().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, broker, gate));

    assert_eq!(
        call(at, "GET /", "wrong", "").await,
        (200, "open to everyone\n".to_owned())
    );
    assert_eq!(call(at, "GET /admin", "wrong", "").await.0, 401);
    let (status, body) = call(at, "GET /admin", "demo-ana", "").await;
    assert_eq!(status, 403);
    assert!(body.contains("approval-required"), "{body}");

    // The layer tells the service who asks; without a reason the policy says no.
    let (status, body) = call(at, "POST /ask", "demo-ana", "").await;
    assert_eq!(status, 403);
    assert!(body.contains("reason"), "{body}");
    let (status, body) = call(at, "POST /ask", "demo-ana", "rotate the keys").await;
    assert_eq!(status, 200);
    assert!(body.ends_with("is active\n"), "{body}");

    let (status, body) = call(at, "GET /admin/keys", "demo-ana", "").await;
    assert_eq!(status, 200);
    assert!(body.starts_with("people|ana until "), "{body}");
    assert_eq!(call(at, "GET /admin/../admin", "demo-ana", "").await.0, 400);
    server.abort();
}
