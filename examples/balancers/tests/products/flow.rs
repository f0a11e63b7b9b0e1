use balancers::{Product, Running};
use serde_json::{Value, json};

use crate::client::{self, Answer, Client};
use crate::house::{ALICE, BOB, CONTROL, ELSEWHERE, HOST, House, PAGE};

/// What a browser sends when someone types an address.
const BROWSER: [(&str, &str); 3] = [
    ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
];

/// What a client would like the application to believe.
const FORGED: [(&str, &str); 8] = [
    ("Remote-User", "demo|root"),
    ("Remote-Groups", "root"),
    ("X-Jit-Grant", "grt_forged"),
    ("X-Jit-Expires", "9999-01-01T00:00:00Z"),
    ("X-Forwarded-User", "root"),
    ("X-Auth-Request-User", "root"),
    ("X-Original-URL", "/admin"),
    ("X-HTTP-Method-Override", "DELETE"),
];

/// What other gateways call who asks: one of each family that a balancer has to list by name.
const IDENTITIES: [&str; 23] = [
    "Mellon-Name-Id",
    "OIDC-Claim-Sub",
    "Shib-Identity-Provider",
    "Ssl-Client-Subject-Dn",
    "Tailscale-User-Login",
    "X-Amzn-Mtls-Clientcert-Subject",
    "X-Amzn-Oidc-Identity",
    "X-Appengine-User-Email",
    "X-Authenticated-User",
    "X-Authentik-Entitlements",
    "X-Azure-SocketIP",
    "X-Consumer-Groups",
    "X-Credential-Identifier",
    "X-Forwarded-Tls-Client-Cert-Info",
    "X-Goog-Authenticated-User-Email",
    "X-Jit-User",
    "X-MS-Token-AAD-Id-Token",
    "X-Pomerium-Claim-Email",
    "X-Remote-Groups",
    "X-Ssl-Client-Verify",
    "X-Tls-Client-Cert",
    "X-Vouch-User",
    "X-WebAuth-User",
];

/// Where a client would like to have come from.
const FORWARDED: [&str; 4] = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"];

/// The values of a field that the application was sent.
fn saw(answer: &Answer, name: &str) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    let fields = told["fields"].as_array().unwrap().iter();
    let same = fields.filter(|field| field[0] == name.to_lowercase());
    same.map(|field| field[1].as_str().unwrap().to_owned()).collect()
}

fn refused(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let problem = answer.json();
    assert_eq!(
        problem["type"],
        format!("{CONTROL}/problems/{kind}"),
        "{answer:?}"
    );
    assert_eq!(problem["status"], status);
    assert_eq!(answer.field("cache-control"), Some("no-store"), "{answer:?}");
    assert_eq!(
        answer.field("content-type"),
        Some("application/problem+json"),
        "{answer:?}"
    );
}

fn ask() -> Value {
    json!({"resource": "admin", "reason": "the balancer is to be tried", "duration": "10m"})
}

async fn the_whole_way(product: Product) {
    if !product.is_wanted() {
        println!("without {product}");
        return;
    }
    let house = House::build().await;
    let running = Running::start(product, house.ports)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let mut client = Client::connect(running.address(), HOST).await;

    // Refused, each in the way that the one who asks understands. The application hears nothing of it.
    let stranger = client.get("/admin", &[]).await;
    refused(&stranger, 401, "unauthenticated");
    assert_eq!(stranger.field("www-authenticate"), Some("Bearer"), "{stranger:?}");
    let alice = client.get("/admin", &[ALICE]).await;
    refused(&alice, 403, "approval-required");
    assert_eq!(alice.json()["request_url"], format!("{CONTROL}/v1/requests"));
    let browser = client
        .get("/admin/a?b=c", &[&[ALICE], &BROWSER[..]].concat())
        .await;
    assert_eq!(browser.status, 303, "{browser:?}");
    let wanted = "http%3A%2F%2Fapp.example.com%2Fadmin%2Fa%3Fb%3Dc";
    let location = format!("{PAGE}?reason=approval-required&resource=admin&return={wanted}");
    assert_eq!(browser.field("location"), Some(location.as_str()));
    assert_eq!(house.served(), 0);

    // Open, for everyone, without a name that the gate did not give.
    let open = client.get("/public/%C3%BC?q=%2e%2e", &FORGED).await;
    for (name, _) in FORGED {
        assert_eq!(saw(&open, name), [""; 0], "{name}");
    }
    assert_eq!(open.json()["target"], "/public/%C3%BC?q=%2e%2e", "as it came");
    // Nor with a word of where it came from that the balancer did not say.
    for name in FORWARDED {
        let value = "192.0.2.66";
        let answer = client.get("/public", &[(name, value)]).await;
        let seen = saw(&answer, name);
        assert!(!seen.iter().any(|seen| seen.contains(value)), "{name}: {seen:?}");
    }
    let forged = IDENTITIES.map(|name| (name, "root"));
    let open = client.get("/public", &forged).await;
    for name in IDENTITIES {
        assert_eq!(saw(&open, name), [""; 0], "{name}");
    }
    // What was decided on is what the application is asked for, whatever the application would rather be asked for.
    let served = house.served();
    let open = client.get(ELSEWHERE, &[]).await;
    assert_eq!(
        (open.json()["target"].as_str(), house.served()),
        (Some(ELSEWHERE), served + 1)
    );
    // One host is one host: what stands after a comma must not be what is decided on.
    let mut two = Client::connect(running.address(), &format!("other.example.com,{HOST}")).await;
    let answer = two.get("/public", &[]).await;
    assert!(answer.status >= 400, "{answer:?}");
    if matches!(product, Product::Haproxy | Product::Haproxy28) {
        let served = house.served();
        let answer = client::http2_with_trailers(running.address(), HOST).await;
        assert_eq!(house.served(), served, "{answer}");
    }
    // Whoever has the credential of a grant has the grant: the application must not see it.
    let credential = format!("jitg_{}", "a".repeat(43));
    let cookie = format!("a=1; __Host-jit-grant={credential}; b=2");
    let shown = client.get("/public", &[("Cookie", &cookie)]).await;
    assert_eq!(saw(&shown, "Cookie"), ["a=1; b=2"]);
    let shown = client.get("/public", &[("Jit-Credential", &credential)]).await;
    assert_eq!(saw(&shown, "Jit-Credential"), [""; 0]);
    for (name, value) in FORGED.into_iter().chain([("Jit-Credential", "jitg_a")]) {
        for mark in ["_", ".", "!", "~"] {
            let alias = name.replace('-', mark);
            let mut client = Client::connect(running.address(), HOST).await;
            let answer = client.send("GET", "/public", &[(&alias, value)], None).await;
            if let Some(answer) = answer.filter(|answer| answer.status == 200) {
                assert_eq!(saw(&answer, &alias), [""; 0], "{alias}");
            }
        }
    }

    // Asked for, approved: through, with the gate's word in the place of the client's.
    let id = house.grant(ask()).await;
    let admitted = client
        .get(
            "/admin/a?b=c",
            &[&[ALICE, ("Cookie", "a=1")], &FORGED[..]].concat(),
        )
        .await;
    assert_eq!(saw(&admitted, "Remote-User"), ["demo|alice"]);
    assert_eq!(saw(&admitted, "Remote-Groups"), ["on-call,sre"]);
    assert_eq!(saw(&admitted, "X-Jit-Grant"), [id.replacen("req_", "grt_", 1)]);
    assert!(saw(&admitted, "X-Jit-Expires")[0].ends_with('Z'));
    assert_eq!(
        saw(&admitted, "Authorization"),
        [""; 0],
        "the gate's token stays with the gate"
    );
    assert_eq!(saw(&admitted, "Cookie"), ["a=1"]);
    assert_eq!(saw(&admitted, "Host"), [HOST]);
    assert_eq!(admitted.json()["target"], "/admin/a?b=c");
    let posted = client
        .send("POST", "/admin", &[ALICE], Some(&json!({"x": 1})))
        .await
        .unwrap();
    assert_eq!(saw(&posted, "Content-Length"), ["7"]);
    assert_eq!(posted.json()["method"], "POST");

    // A name can't be taken away on the last hop either: refused, or still there.
    let mut other = Client::connect(running.address(), HOST).await;
    let nominates = ("Connection", "keep-alive, Remote-User, X-Jit-Grant");
    let answer = other.get("/admin", &[ALICE, nominates]).await;
    if answer.status != 400 {
        assert_eq!(saw(&answer, "Remote-User"), ["demo|alice"]);
    }
    // And no protocol is changed: refused, or served as if it had not been asked for.
    for path in ["/admin", "/public"] {
        for protocol in ["websocket", "h2c"] {
            let mut other = Client::connect(running.address(), HOST).await;
            let upgrade = [ALICE, ("Connection", "Upgrade"), ("Upgrade", protocol)];
            let answer = other.send("GET", path, &upgrade, None).await;
            if let Some(answer) = answer.filter(|answer| answer.status < 300) {
                assert_eq!(saw(&answer, "Upgrade"), [""; 0], "{protocol}");
            }
        }
    }

    // One connection, many callers: each request is decided on by itself.
    for (fields, status, user) in [
        (&[ALICE][..], 200, "demo|alice"),
        (&[], 401, ""),
        (&[BOB], 403, ""),
        (&[ALICE], 200, "demo|alice"),
        (&[("Authorization", "Bearer guessed")], 401, ""),
    ] {
        let answer = client.get("/admin", fields).await;
        assert_eq!(answer.status, status, "{fields:?} {answer:?}");
        if status == 200 {
            assert_eq!(saw(&answer, "Remote-User"), [user]);
        }
        let open = client.get("/", &[]).await;
        assert_eq!(saw(&open, "Remote-User"), [""; 0], "after {fields:?}");
    }

    // Revoked: refused with the next request, on the connection that was good a moment ago.
    house.revoke(&id).await;
    let served = house.served();
    refused(&client.get("/admin", &[ALICE]).await, 403, "approval-required");
    assert_eq!(house.served(), served);

    // Nobody to ask: nothing passes, not even what is open.
    house.grant(ask()).await;
    assert_eq!(client.get("/admin", &[ALICE]).await.status, 200);
    let served = house.served();
    house.kill_authz();
    for path in ["/admin", "/"] {
        let mut client = Client::connect(running.address(), HOST).await;
        let answer = client.get(path, &[ALICE]).await;
        assert!(answer.status >= 400, "{answer:?}");
    }
    let answer = client.send("GET", "/admin", &[ALICE], None).await;
    assert!(answer.is_none_or(|answer| answer.status >= 400));
    assert_eq!(house.served(), served);
}

macro_rules! products {
    ($($name:ident: $product:ident,)*) => {$(
        #[tokio::test]
        async fn $name() {
            the_whole_way(Product::$product).await;
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
