//! The authorization endpoints, by the same gate.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::application::Application;
use crate::client::{Client, client};
use crate::world::{ALICE, HOST, World, in_time};

fn question(at: std::net::SocketAddr, path: &str) -> Client {
    client(at, "authz.internal")
        .with("x-original-method", "GET")
        .with("x-original-url", &format!("https://{HOST}{path}"))
        .with("x-forwarded-for", "203.0.113.9")
}

#[tokio::test]
async fn balancers_get_the_gates_own_decision() {
    let app = Application::start("app").await;
    let world = World::before(
        &[app.at],
        "[authz]\naddr = \"127.0.0.1:0\"\nproxies = [\"127.0.0.1\"]\n",
    );
    let served = world.serve().await;
    let at = served.at("authz");
    let path = "/authz/auth-request";
    assert_eq!(question(at, "/").get(path).await.status, 200);
    assert_eq!(question(at, "/admin").get(path).await.status, 401);
    let alice = question(at, "/admin").by(ALICE);
    assert_eq!(alice.get(path).await.status, 403);
    served.grant(&served.gate()).await;
    let admitted = alice.get(path).await;
    assert_eq!(admitted.status, 200, "{admitted:?}");
    assert_eq!(admitted.header("remote-user"), "people|alice");
    for (metric, value) in [
        ("jit_requests_total{door=\"authz\",outcome=\"admitted\"}", 2.0),
        ("jit_requests_total{door=\"authz\",outcome=\"refused\"}", 2.0),
        (
            "jit_refusals_total{door=\"authz\",reason=\"unauthenticated\"}",
            1.0,
        ),
    ] {
        assert_eq!(served.metric(metric).await, value, "{metric}");
    }
    assert_eq!(app.seen(), 0, "nothing is forwarded");
    served.stop().await;
}

#[tokio::test]
async fn nobody_else_may_ask() {
    let app = Application::start("app").await;
    let world = World::before(
        &[app.at],
        "[authz]\naddr = \"127.0.0.1:0\"\nproxies = [\"192.0.2.1\"]\n",
    );
    let served = world.serve().await;
    let mut stream = TcpStream::connect(served.at("authz")).await.unwrap();
    let mut nothing = Vec::new();
    let read = in_time("the end", stream.read_to_end(&mut nothing)).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{nothing:?}");
    let refused = "jit_connections_refused_total{listener=\"authz\",reason=\"peer\"}";
    assert_eq!(served.metric(refused).await, 1.0);
    served.stop().await;
}
