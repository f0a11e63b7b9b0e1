//! The proxy by itself: what reaches an upstream, octet by octet, and what comes back.

use jit_server::proxy::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::client::{Answer, send};

/// A proxy to an upstream that answers one request with `answer`, and says what it was sent up to `end`.
async fn proxy_to(answer: impl Into<String>, end: &'static str) -> (String, JoinHandle<String>) {
    let answer = answer.into();
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::new(upstream.local_addr().unwrap()).unwrap();
    let seen = tokio::spawn(async move {
        let (mut stream, _) = upstream.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(end.as_bytes()) {
            assert_ne!(
                stream.read_buf(&mut seen).await.unwrap(),
                0,
                "{}",
                seen.escape_ascii()
            );
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(seen).unwrap()
    });
    (serve(proxy).await, seen)
}

async fn serve(proxy: Proxy) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, proxy.router()).await });
    format!("http://{at}")
}

#[tokio::test]
async fn what_is_for_one_hop_goes_no_further_either_way() {
    let answer = "HTTP/1.1 203 Fine\r\nConnection: x-of-upstream\r\nX-Of-Upstream: 1\r\nKeep-Alive: timeout=9\r\n\
                  Proxy-Connection: close\r\nUpgrade: h3\r\nTransfer-Encoding: chunked\r\nX-Kept: yes\r\n\
                  Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n";
    let (proxy, seen) = proxy_to(answer, "\r\n\r\nabc").await;
    let sent = [
        ("host", "app.example:81"),
        ("connection", "X-Of-Client, upgrade"),
        ("x-of-client", "1"),
        ("upgrade", "websocket"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "trailers"),
        ("x-kept", "yes"),
        // Nobody was proven.
        ("remote-user", "demo|root"),
        ("x-jit-grant", "grt_forged"),
        ("x-jit-expires", "9999-01-01T00:00:00Z"),
    ];
    let answer = send("PATCH", &format!("{proxy}/a//b/%2F?q=%20&q"), &sent, "abc").await;
    let seen = seen.await.unwrap();
    let (head, _) = seen.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().collect();
    let request = lines.remove(0);
    lines.sort_unstable();
    assert_eq!(request, "PATCH /a//b/%2F?q=%20&q HTTP/1.1");
    assert_eq!(
        lines,
        ["content-length: 3", "host: app.example:81", "x-kept: yes"]
    );

    assert_eq!((answer.status, answer.text.as_str()), (203, "foobar"));
    let mut names: Vec<_> = answer.headers.iter().collect();
    names.retain(|(name, _)| *name != "date");
    let mut names: Vec<_> = names
        .into_iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            // The next hop's own.
            ("transfer-encoding", "chunked"),
            ("x-kept", "yes"),
        ]
    );
}

#[tokio::test]
async fn nothing_is_said_about_the_length_of_what_is_not_sent() {
    for (method, answer, length) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "",
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "1234"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n", ""),
    ] {
        let (proxy, seen) = proxy_to(answer, "\r\n\r\n").await;
        let answered = send(method, &proxy, &[], "").await;
        assert_eq!(
            (answered.header("content-length"), answered.text.as_str()),
            (length, ""),
            "{answer}"
        );
        assert!(
            seen.await
                .unwrap()
                .starts_with(&format!("{method} / HTTP/1.1\r\n"))
        );
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_a_bad_gateway() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = taken.local_addr().unwrap();
    drop(taken);
    let gone = serve(Proxy::new(gone).unwrap()).await;
    bad_gateway(
        &send("GET", &gone, &[("accept", "text/html")], "").await,
        "text/html; charset=utf-8",
    );
    bad_gateway(&send("GET", &gone, &[], "").await, "application/problem+json");
    for answer in [
        "",
        "nonsense\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ] {
        let (proxy, _seen) = proxy_to(answer, "\r\n\r\n").await;
        let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
        bad_gateway(
            &send("GET", &proxy, &upgrade, "").await,
            "application/problem+json",
        );
    }
}

fn bad_gateway(answer: &Answer, kind: &str) {
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (502, kind),
        "{answer:?}"
    );
    assert!(answer.text.contains("did not answer it"), "{answer:?}");
    assert!(!answer.text.contains("127.0.0.1"), "{answer:?}");
}

#[tokio::test]
async fn an_application_sets_none_of_the_gates_cookies() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=1\r\nSet-Cookie: __Host-jit=forged; Path=/; Secure\r\n\
                  Set-Cookie:  __Host-jit-console =forged; Path=/; Secure\r\nSet-Cookie: __Host-jit-enter\r\n\
                  Set-Cookie: __host-jit-grant=forged\r\nSet-Cookie: __Host-jitter=2\r\nSet-Cookie: b=__Host-jit=3\r\n\r\n";
    let (proxy, seen) = proxy_to(answer, "\r\n\r\n").await;
    let answer = send("GET", &proxy, &[], "").await;
    seen.await.unwrap();
    let set = answer.headers.get_all("set-cookie").iter();
    let set: Vec<_> = set.map(|value| value.to_str().unwrap()).collect();
    assert_eq!(set, ["a=1", "__Host-jitter=2", "b=__Host-jit=3"]);
}

#[tokio::test]
async fn an_application_has_no_cookies_cleared() {
    for (sent, passed) in [
        ("Clear-Site-Data: \"cookies\"\r\n", ""),
        ("Clear-Site-Data: \"*\"\r\n", ""),
        ("Clear-Site-Data: *,cookies,\r\n", ""),
        (
            "clear-site-data: \"cache\"\r\nclear-site-data: \"cookies\"\r\n",
            "\"cache\"",
        ),
        (
            "Clear-Site-Data: \"cache\",\"cookies\" , \"storage\", \"*\", \"Cookies\", \"new\"\r\n",
            "\"cache\", \"storage\"",
        ),
        (
            "Clear-Site-Data: \"executionContexts\"\r\n",
            "\"executionContexts\"",
        ),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{sent}\r\n");
        let (proxy, seen) = proxy_to(answer, "\r\n\r\n").await;
        let answer = send("GET", &proxy, &[], "").await;
        seen.await.unwrap();
        let fields: Vec<_> = answer.headers.get_all("clear-site-data").iter().collect();
        let passed: Vec<_> = Some(passed)
            .filter(|passed| !passed.is_empty())
            .into_iter()
            .collect();
        assert_eq!(fields, passed, "{sent:?}");
    }
}
