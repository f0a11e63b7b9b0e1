use balancers::{Product, Running};
use serde_json::json;

use crate::client::Client;
use crate::house::{ALICE, BOB, House};

/// A balancer's own admin API is one more resource: who may read it may not change it.
#[tokio::test]
async fn an_admin_api_with_a_grant_for_one_method() {
    if !Product::CaddyAdmin.is_wanted() {
        println!("without caddy");
        return;
    }
    let house = House::build().await;
    let running = Running::start(Product::CaddyAdmin, house.ports)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let mut client = Client::connect(running.address(), "admin.example.com").await;
    let change = json!({"listen": ["127.0.0.1:0"]});
    assert_eq!(client.get("/config/", &[]).await.status, 401);
    assert_eq!(client.get("/config/", &[ALICE]).await.status, 403);

    let ask = json!({"resource": "caddy-admin", "methods": ["GET"], "reason": "look at the configuration", "duration": "10m"});
    let id = house.grant(ask).await;
    let read = client.get("/config/", &[ALICE]).await;
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(read.json()["admin"]["listen"], "unix/admin.sock");
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let mut client = Client::connect(running.address(), "admin.example.com").await;
        let path = "/config/apps/http/servers/mallory";
        let answer = client.send(method, path, &[ALICE], Some(&change)).await.unwrap();
        assert_eq!(answer.status, 403, "{method} {answer:?}");
        assert_eq!(answer.json()["resource"], "caddy-admin");
    }
    let forged = ("X-HTTP-Method-Override", "DELETE");
    assert_eq!(client.get("/config/", &[ALICE, forged]).await.status, 200);
    assert_eq!(client.get("/config/", &[BOB]).await.status, 403);
    let after = client.get("/config/", &[ALICE]).await;
    assert_eq!(after.body, read.body, "nothing was changed");

    house.revoke(&id).await;
    assert_eq!(client.get("/config/", &[ALICE]).await.status, 403);
    let ask = json!({"resource": "caddy-admin", "methods": ["POST"], "reason": "turn the access log on", "duration": "10m"});
    house.grant(ask).await;
    let path = "/config/logging";
    let answer = client
        .send("POST", path, &[ALICE], Some(&json!({"logs": {}})))
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let read = Client::get_anew(running.address(), "admin.example.com", "/config/", &[ALICE]).await;
    assert_eq!(read.status, 403, "to write is not to read");
}
