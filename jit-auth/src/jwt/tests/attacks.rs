//! What is known to have been tried on verifiers: RFC 8725, and the advisories of libraries.

use super::*;

#[tokio::test]
async fn every_known_attack_is_refused() {
    let world = World::new();
    let payload = claims().to_string();
    let header = |change: Value| {
        let mut header = json!({"alg": "ES256", "kid": "one", "typ": "JWT"});
        for (name, value) in change.as_object().unwrap() {
            header[name] = value.clone();
        }
        header.to_string()
    };
    let sign = |text: &str| world.signer.sign_text(text, &payload);
    let good = sign(&header(json!({})));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let stranger = Signer::new("one");
    let jwk = stranger.jwk();
    let hs = header(json!({"alg": "HS256"}));
    let mut rows = vec![
        ("good".to_owned(), good.clone(), "proven"),
        (
            "no typ".to_owned(),
            sign("{\"alg\":\"ES256\",\"kid\":\"one\"}"),
            "proven",
        ),
        ("the only key".to_owned(), sign("{\"alg\":\"ES256\"}"), "proven"),
    ];
    for spelling in [
        "none", "None", "NONE", "nOnE", "none ", "", "null", "es256", "ES256 ", "ES512", "HS256", "PS256",
    ] {
        let header = header(json!({"alg": spelling}));
        rows.push((format!("alg {spelling:?}"), sign(&header), "invalid"));
        let bare = format!("{}.{}.", base64url(&header), base64url(&payload));
        rows.push((format!("alg {spelling:?}, no signature"), bare, "invalid"));
    }
    for alg in [json!(null), json!(["ES256"]), json!({"ES256": 1}), json!(1)] {
        rows.push((
            format!("alg {alg}"),
            sign(&header(json!({"alg": alg}))),
            "invalid",
        ));
    }
    for secret in [
        world.signer.public(),
        world.signer.public()[1..].to_vec(),
        world.signer.pem(),
        world.signer.jwk().to_string().into_bytes(),
        world.network.get(KEYS).await.unwrap(),
        Vec::new(),
    ] {
        rows.push((
            "the public key as a secret".to_owned(),
            sign_with_secret(&secret, &hs, &payload),
            "invalid",
        ));
        let lying = header(json!({}));
        rows.push((
            "HMAC called ES256".to_owned(),
            sign_with_secret(&secret, &lying, &payload),
            "invalid",
        ));
    }
    for kid in [
        "../one",
        "/one",
        "one/../one",
        "one\0",
        "one\n",
        "ONE",
        "",
        "one' OR '1'='1",
        "https://evil.example/",
    ] {
        rows.push((
            format!("kid {kid:?}"),
            sign(&header(json!({"kid": kid}))),
            "invalid",
        ));
    }
    for change in [
        json!({"kid": 1}),
        json!({"kid": "x".repeat(257)}),
        json!({"crit": ["exp"], "exp": 1}),
        json!({"crit": []}),
        json!({"crit": null}),
        json!({"b64": false, "crit": ["b64"]}),
        json!({"zip": "DEF"}),
        json!({"cty": "JWT"}),
        json!({"enc": "A256GCM"}),
        json!({"typ": "logout+jwt"}),
        json!({"typ": "secevent+jwt"}),
        json!({"typ": "JWTX"}),
        json!({"typ": null}),
    ] {
        rows.push((format!("header {change}"), sign(&header(change)), "invalid"));
    }
    // Keys that the token brings along are not read: they help nobody, and harm nobody who has the right one.
    for change in [
        json!({"jwk": jwk}),
        json!({"jku": "https://evil.example/keys"}),
        json!({"x5u": "https://evil.example/cert"}),
        json!({"x5c": ["AAAA"]}),
    ] {
        let header = header(change.clone());
        rows.push((
            format!("header {change}"),
            stranger.sign_text(&header, &payload),
            "invalid",
        ));
        rows.push((format!("header {change}"), sign(&header), "proven"));
    }
    let nested = world.signer.sign_text(&header(json!({})), &good);
    let longer = world.signer.sign(&with("pad", json!("x".repeat(TOKEN_MAX))));
    rows.extend(
        [
            ("another's key under the same name", stranger.sign(&claims())),
            ("nested", nested),
            ("oversized", longer),
            ("signature stripped", format!("{message}.")),
            ("signature left out", message.to_owned()),
            ("signature of zeros", format!("{message}.{}", base64url([0; 64]))),
            ("signature in DER", format!("{message}.{}", base64url([0x30; 70]))),
            (
                "signature cut",
                format!("{message}.{}", &signature[..signature.len() - 4]),
            ),
            ("signature doubled", format!("{message}.{signature}{signature}")),
            ("signature padded", format!("{good}==")),
            ("a fourth part", format!("{good}.e30")),
            ("five parts", format!("{good}.e30.e30")),
            ("empty", String::new()),
            ("dots", "..".to_owned()),
            ("space in front", format!(" {good}")),
            ("newline behind", format!("{good}\n")),
            ("bad base64 in the header", format!("*{good}")),
            ("bad base64 in the payload", good.replacen('.', ".*", 1)),
            (
                "payload is a list",
                world.signer.sign_text(&header(json!({})), "[]"),
            ),
            (
                "payload is not JSON",
                world.signer.sign_text(&header(json!({})), "claims"),
            ),
            ("header is not JSON", sign("header")),
            ("header is a list", sign("[\"ES256\"]")),
            (
                "doubled alg",
                sign("{\"alg\":\"ES256\",\"alg\":\"ES256\",\"kid\":\"one\"}"),
            ),
            (
                "doubled kid",
                sign("{\"alg\":\"ES256\",\"kid\":\"one\",\"kid\":\"one\"}"),
            ),
            (
                "doubled sub",
                world
                    .signer
                    .sign_text(&header(json!({})), &payload.replacen('{', "{\"sub\":\"bo\",", 1)),
            ),
            (
                "doubled deep inside",
                world.signer.sign_text(
                    &header(json!({})),
                    &payload.replacen('{', "{\"a\":[{\"b\":1,\"b\":2}],", 1),
                ),
            ),
        ]
        .map(|(what, token)| (what.to_owned(), token, "invalid")),
    );
    for (what, token, expected) in rows {
        // Each in its own time, so that a pause between readings hides nothing.
        assert_eq!(
            world.outcome(&token, at(0)).await,
            expected,
            "{what}: {token:.200}"
        );
    }
    for source in [
        CredentialSource::Cookie,
        CredentialSource::Proxy,
        CredentialSource::Connection,
    ] {
        assert!(
            world.jwt.verify(good.as_bytes(), source, at(0)).await.is_err(),
            "{source:?}"
        );
    }
}
