//! The corpus through real balancers with the configurations of `examples/balancers`, which ask jit-authz.

use std::net::SocketAddr;
use std::time::Duration;

use balancers::Product;
use gate_target::corpus::{Report, parse};
use gate_target::door::{Door, Target};
use gate_target::house::Grants;

/// Longer than the corpus asks for, so that a busy machine is no failure.
const WAIT: Duration = Duration::from_secs(2);

/// What a balancer itself tells the application. Of all other names that the upstream would believe it must hear none.
const TOLD: [&str; 10] = [
    "remote-user",
    "remote-groups",
    "x-jit-grant",
    "x-jit-expires",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
];

/// What every row must come to is in `requests.jsonl`. The rows of `more.jsonl` are stricter than products that mend a request before
/// they ask about it; through those nobody may get in who holds no grant.
async fn check(product: Product) {
    if !product.is_wanted() {
        println!("without {product}");
        return;
    }
    for (file, text, strict) in [
        (
            "requests.jsonl",
            include_str!("../../corpus/requests.jsonl"),
            true,
        ),
        ("more.jsonl", include_str!("../../corpus/more.jsonl"), false),
    ] {
        let rows = parse(file, text).unwrap();
        let report = Report::of_door(Door::Product(product), &rows, &Grants::ALL, WAIT)
            .await
            .unwrap();
        let tally = report.tally();
        println!(
            "{product}, {file}: {} ok, {} soft, {} hard",
            tally.ok, tally.soft, tally.hard
        );
        assert!(!report.outcomes().is_empty());
        assert_eq!(report.leaks(), 0, "{product}, {file}: {report}");
        for reply in report.outcomes().iter().flat_map(|outcome| &outcome.replies) {
            let posed = reply.field("x-posed-as").unwrap_or_default();
            let forged = posed
                .split(',')
                .find(|name| !name.is_empty() && !TOLD.contains(name));
            assert_eq!(forged, None, "{product}, {file}: {report}");
        }
        assert!(!strict || tally.hard == 0, "{product}, {file}: {report}");
    }
}

macro_rules! products {
    ($($name:ident: $product:ident,)*) => {$(
        #[tokio::test]
        async fn $name() {
            check(Product::$product).await;
        }
    )*};
}

products! {
    nginx: Nginx,
    haproxy: Haproxy,
    haproxy_2_8: Haproxy28,
    envoy: Envoy,
    envoy_grpc: EnvoyGrpc,
    caddy: Caddy,
    traefik: Traefik,
}

/// The rows that ask the endpoint itself.
#[tokio::test]
async fn the_endpoint() {
    for text in [
        include_str!("../../corpus/requests.jsonl"),
        include_str!("../../corpus/more.jsonl"),
    ] {
        let rows = parse("corpus", text).unwrap();
        let report = Report::of_door(Door::Authz, &rows, &Grants::ALL, WAIT)
            .await
            .unwrap();
        assert_eq!(report.tally().hard, 0, "{report}");
    }
}

/// Nothing but the endpoints is served there.
#[tokio::test]
async fn elsewhere_is_nothing() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let target = Target::start(Door::Authz, Grants::Admin, SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    for path in ["/", "/admin/", "/authz", "/authz/forward-auth/"] {
        let mut stream = tokio::net::TcpStream::connect(target.address()).await.unwrap();
        let text = format!("GET {path} HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}
