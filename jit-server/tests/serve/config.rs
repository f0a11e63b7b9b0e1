//! What is wrong with a file is told with its line and mend, and nothing is served from it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::{HOST, World, people, shown};

const UPSTREAM: &str = "[[upstreams]]\nname = \"app\"\nservers = [\"127.0.0.1:1\"]\n";
const LISTEN: &str = "[listen]\naddr = \"127.0.0.1:0\"\n";

/// Runs it with and without `--check`: it says each of `told`, in one line each, and nothing else.
async fn check(world: &World, told: &[&str], mend: &str) {
    for more in [&["--check"][..], &[]] {
        let (code, out, err) = world.run(more).await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{told:?} {err}");
        assert_eq!(err.lines().count(), told.len(), "{err}");
        for part in told.iter().chain([&mend]) {
            assert!(err.contains(part), "{part:?} is not in: {err}");
        }
        assert!(!world.path("jit.db").exists(), "{err}");
    }
}

#[tokio::test]
async fn a_wrong_file_is_told_with_line_and_mend() {
    for (rest, told, mend) in [
        // The first three lines are policy, people and database.
        (
            format!("{LISTEN}{UPSTREAM}[lisen]\n"),
            &["jit.toml:9: unknown field `lisen`"][..],
            "jit serve --example",
        ),
        (
            format!("{LISTEN}tcp = 1\n{UPSTREAM}"),
            &["jit.toml:6: unknown field `tcp`"],
            "jit serve --example",
        ),
        (
            format!("{LISTEN}{UPSTREAM}weight = 1\n"),
            &["jit.toml:9: unknown field `weight`"],
            "",
        ),
        (UPSTREAM.to_owned(), &["missing field `listen`"], ""),
        (LISTEN.to_owned(), &["missing field `upstreams`"], ""),
        (
            format!("upstreams = []\n{LISTEN}"),
            &["jit.toml:4: there must be at least one upstream"],
            "[[upstreams]]",
        ),
        ("[listen\n".to_owned(), &["jit.toml:4: "], ""),
        (
            format!("[listen]\naddr = \"localhost:0\"\n{UPSTREAM}"),
            &["jit.toml:5: "],
            "",
        ),
        (
            format!("{LISTEN}connections = 0\n{UPSTREAM}"),
            &["jit.toml:6: 0 is no limit"],
            "at least 1",
        ),
        (
            format!("{LISTEN}head_timeout = \"soon\"\n{UPSTREAM}"),
            &["jit.toml:6: "],
            "\"30m\"",
        ),
        (
            format!("{LISTEN}{UPSTREAM}failures = 0\n"),
            &["jit.toml:9: 0 is no limit"],
            "",
        ),
        (
            format!(
                "{LISTEN}[[upstreams]]\nname = \"a b\"\nservers = [\"127.0.0.1\", \"u@h:1\", \":80\", \"h:1\", \"h:1\"]\nhosts = [\"https://x\", \"X:1\"]\npaths = [\"a\", \"/a/../b\", \"/api/*\"]\n"
            ),
            &[
                "jit.toml:7: the name is empty, too long or not plain",
                "jit.toml:8: it is no host with a port",
                "jit.toml:8: it is no host with a port",
                "jit.toml:8: ",
                "jit.toml:8: the server h:1 stands here twice",
                "jit.toml:9: ",
                "jit.toml:9: ",
                "jit.toml:10: ",
                "jit.toml:10: ",
                "jit.toml:10: the path holds '*'",
            ],
            "127.0.0.1:3000",
        ),
        (
            "[listen]\naddr = \"127.0.0.1:8080\"\n[operator]\naddr = \"127.0.0.1:9090\"\n[[upstreams]]\nname = \"app\"\nservers = [\"127.0.0.1:9090\", \"localhost:8080\"]\n".to_owned(),
            &["jit.toml:10: it is the address under [listen]"],
            "the application itself",
        ),
        (
            format!("{LISTEN}[[upstreams]]\nname = \"app\"\nservers = [\"http://10.0.0.1:3000/\"]\n"),
            &["jit.toml:8: it is a URL"],
            "write \"10.0.0.1:3000\"",
        ),
        (
            format!("{LISTEN}[[upstreams]]\nname = \"app\"\nservers = [\"http://u:secret@10.0.0.1:3000\"]\n"),
            &["jit.toml:8: it is a URL"],
            "write host and port, such as",
        ),
        (
            format!("{LISTEN}{UPSTREAM}{UPSTREAM}"),
            &[
                "jit.toml:10: two upstreams are called \"app\"",
                "jit.toml:10: / on every host belongs to an upstream above",
            ],
            "a name of its own",
        ),
        (
            format!("{LISTEN}{UPSTREAM}health = {{ path = \"healthz\", passes = 0 }}\n"),
            &["jit.toml:9: it is no path", "jit.toml:9: 0 is no limit"],
            "/healthz",
        ),
        (
            format!(
                "{LISTEN}[[upstreams]]\nname = \"a\"\nservers = [\"https://h:1\", \"h:2\"]\ntls = {{ server_name = \"a b\" }}\n"
            ),
            &[
                "jit.toml:8: some of the servers are spoken to in TLS, and some are not",
                "jit.toml:9: ",
            ],
            "begin each with https://",
        ),
        (
            format!(
                "{LISTEN}tls = {{ cert = \"c\", key = \"k\", client_certificates = \"optional\" }}\n{UPSTREAM}"
            ),
            &["jit.toml:6: nobody vouches for clients"],
            "client_ca_file",
        ),
        (
            format!("{LISTEN}tls = {{ cert = \"c\", key = \"k\", client_ca_file = \"ca.pem\" }}\n{UPSTREAM}"),
            &["jit.toml:6: clients show certificates, and nothing says what they prove"],
            "[identity.mtls]",
        ),
        (
            format!("{LISTEN}{UPSTREAM}[identity.mtls]\nissuer = \"ca\"\nnames = [\"spiffe\"]\n"),
            &[
                "jit.toml:9: no listener asks clients for certificates",
                "jit.toml:9: SPIFFE ids count, and it is not said in which trust domains",
            ],
            "client_ca_file",
        ),
        (
            format!(
                "{LISTEN}tls = {{ cert = \"c\", key = \"k\", client_ca_file = \"ca.pem\" }}\n{UPSTREAM}[identity.mtls]\nissuer = \"ca\"\nnames = []\ntrust_domains = [\"A\"]\n"
            ),
            &[
                "jit.toml:13: there are trust domains, and SPIFFE ids don't count",
                "jit.toml:10: no kind of name is given",
            ],
            "spiffe",
        ),
        (
            format!(
                "{LISTEN}tls = {{ cert = \"c\", key = \"k\", client_ca_file = \"jobs.pem\" }}\n{UPSTREAM}[identity.mtls]\nissuer = \"https://ca.example.com\"\nnames = [\"dns\"]\n[console]\naddr = \"127.0.0.1:0\"\norigin = \"https://access.example.com\"\ntls = {{ cert = \"c\", key = \"k\", client_ca_file = \"staff.pem\" }}\n"
            ),
            &["jit.toml:16: the guarded listener has other authorities for clients"],
            "the same `client_ca_file` at both",
        ),
        (
            format!("{LISTEN}{UPSTREAM}tls = {{ ca_file = \"ca.pem\" }}\n"),
            &["jit.toml:9: there is `tls`, and the servers are spoken to without"],
            "https://",
        ),
        (
            format!("{LISTEN}{UPSTREAM}tls = {{ dangerous = true }}\n"),
            &["jit.toml:9: unknown field `dangerous`"],
            "jit serve --example",
        ),
        (
            format!(
                "{LISTEN}[[upstreams]]\nname = \"a\"\nservers = [\"https://h:1\"]\ntls = {{ ca_file = \"ca.pem\" }}\n"
            ),
            &["ca.pem: "],
            "name a PEM file with the authorities",
        ),
        (
            format!("[listen]\naddr = \"127.0.0.1:9090\"\n{UPSTREAM}[operator]\naddr = \"127.0.0.1:9090\"\n"),
            &["jit.toml:10: two listeners have the address 127.0.0.1:9090"],
            "a port of its own",
        ),
        (
            format!("[listen]\naddr = \"127.0.0.1:9090\"\n{UPSTREAM}[operator]\n"),
            &["two listeners have the address 127.0.0.1:9090"],
            "a port of its own",
        ),
        (
            format!(
                "{LISTEN}{UPSTREAM}[console]\naddr = \"127.0.0.1:0\"\norigin = \"http://access.example.com\"\n"
            ),
            &["jit.toml:11: nobody can sign in at a console without TLS"],
            "https",
        ),
        (
            format!(
                "{LISTEN}{UPSTREAM}[console]\naddr = \"127.0.0.1:0\"\norigin = \"https://a/b\"\nguarded = []\n"
            ),
            &["jit.toml:11: the origin"],
            "https://access.example.com",
        ),
        (
            format!("{LISTEN}{UPSTREAM}[authz]\naddr = \"127.0.0.1:0\"\nproxies = [\"0.0.0.0/0\"]\n"),
            &["jit.toml:11: "],
            "list the balancers",
        ),
        (
            format!("{LISTEN}{UPSTREAM}[authz]\naddr = \"127.0.0.1:0\"\nproxies = []\n"),
            &["jit.toml:11: no proxy is trusted"],
            "list the balancers",
        ),
        (
            format!("{LISTEN}tls = {{ cert = \"gate.pem\", key = \"gate.key\" }}\n{UPSTREAM}"),
            &["gate.pem: "],
            "name a PEM file",
        ),
        (
            format!(
                "{LISTEN}{UPSTREAM}[[identity.jwt]]\nissuer = \"i\"\naudiences = []\nalgorithms = [\"RS256\"]\n"
            ),
            &["jit.toml:9: no audience is given"],
            "[[identity.jwt]]",
        ),
        (
            format!(
                "{LISTEN}{UPSTREAM}[[identity.jwt]]\nissuer = \"i\"\naudiences = [\"a\"]\nalgorithms = [\"HS256\"]\n"
            ),
            &["jit.toml:12: the algorithm must be one of"],
            "what the issuer signs with",
        ),
        (
            format!(
                "{LISTEN}{UPSTREAM}[[identity.jwt]]\nissuer = \"i\"\naudiences = [\"a\"]\nalgorithms = [\"RS256\"]\ntype = \"saml\"\n"
            ),
            &["jit.toml:13: unknown variant `saml`"],
            "jit serve --example",
        ),
    ] {
        check(&World::new(&rest), told, mend).await;
    }
}

#[tokio::test]
async fn what_the_file_names_must_be_right_too() {
    let rest = format!("{LISTEN}{UPSTREAM}");
    for (name, text, told, mend) in [
        (
            "policy.toml",
            "[[open]]\nhots = []\n",
            &["policy.toml:2: "][..],
            "",
        ),
        (
            "people.toml",
            "[[people]]\nname = \"Eve\"\ntoken = \"demo-eve\"\n",
            &["eve has a demo's token"],
            "token_sha256",
        ),
        ("people.toml", "[[people]]\nname = 7\n", &["people.toml:2: "], ""),
    ] {
        let world = World::new(&rest);
        world.write(name, text);
        check(&world, told, mend).await;
    }
    let world = World::new(&rest);
    fs::remove_file(world.path("people.toml")).unwrap();
    fs::remove_file(world.path("policy.toml")).unwrap();
    check(
        &world,
        &["policy.toml: ", "people.toml: "],
        "write the policy file",
    )
    .await;
    let world = World::new("");
    fs::remove_file(world.path("jit.toml")).unwrap();
    check(&world, &["jit.toml: "], "--config").await;
    let world = World::new(&rest);
    let text = fs::read_to_string(world.path("jit.toml")).unwrap();
    world.write("jit.toml", &text.replace("policy.toml", "policy.conf"));
    check(&world, &["jit.toml:1: the file's name does not say"], ".toml").await;
}

#[tokio::test]
async fn files_in_everybodys_hands_are_refused() {
    let rest = format!("{LISTEN}tls = {{ cert = \"gate.pem\", key = \"gate.key\" }}\n{UPSTREAM}");
    for (name, mode, right) in [
        ("jit.toml", 0o602, 0o600),
        ("policy.toml", 0o666, 0o664),
        ("people.toml", 0o622, 0o620),
        ("gate.key", 0o644, 0o640),
        ("gate.key", 0o660, 0o640),
    ] {
        let world = World::new(&rest);
        world.certify("gate", &[HOST]);
        let (code, _, err) = world.run(&["--check"]).await;
        assert_eq!(code, Some(0), "{err}");
        let path = world.path(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let told = format!(
            "{}: its mode {mode:04o} gives others more than they may have",
            shown(&path)
        );
        check(&world, &[&told], &format!("chmod {right:o} {}", shown(&path))).await;
    }
    let world = World::new(&format!("{LISTEN}{UPSTREAM}"));
    let people = fs::read_to_string(world.path("people.toml")).unwrap();
    world.write(
        "people.toml",
        &people.replacen("name =", "totp_secret_file = \"alice.totp\"\nname =", 1),
    );
    let secret = world.path("alice.totp");
    world.write("alice.totp", "JF4C2SLQGE3TCNJXGBYXOZLSOR4XK2LP\n");
    let (code, _, err) = world.run(&["--check"]).await;
    assert_eq!(code, Some(0), "{err}");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
    for more in [&["--check"][..], &[]] {
        let (code, _, err) = world.run(more).await;
        let told = format!("chmod 600 {}", shown(&secret));
        assert!(
            code == Some(1) && err.contains("mode 0640") && err.contains(&told),
            "{err}"
        );
    }
    world.write("people.toml", &people);
    // What is no file is not told to be shut for everybody else.
    let text = fs::read_to_string(world.path("jit.toml")).unwrap();
    for (database, told) in [
        ("/tmp", "jit.toml:3: the database is no file"),
        (
            "/nowhere/jit.db",
            "jit.toml:3: the database's folder, /nowhere, is not there",
        ),
    ] {
        world.write("jit.toml", &text.replace("\"jit.db\"", &format!("{database:?}")));
        let (code, _, err) = world.run(&["--check"]).await;
        assert!(
            code == Some(1) && err.contains(told) && !err.contains("chmod"),
            "{err}"
        );
    }
    world.write("jit.toml", &text);
    world.write("jit.db", "");
    fs::set_permissions(world.path("jit.db"), fs::Permissions::from_mode(0o640)).unwrap();
    let (code, _, err) = world.run(&["--check"]).await;
    assert!(code == Some(1) && err.contains("jit.db: its mode 0640"), "{err}");
}

#[tokio::test]
async fn the_example_is_right() {
    let world = World::new("");
    world.write("jit.toml", include_str!("../../jit.example.toml"));
    world.write("oidc.secret", "a secret");
    for name in ["fullchain", "access", "internal-ca", "clients-ca"] {
        world.certify(&format!("tls/{name}"), &[HOST]);
    }
    fs::rename(world.path("tls/fullchain.key"), world.path("tls/key.pem")).unwrap();
    // What an issuer shows is checked against these alone: the system need not have any.
    let mut command = world.command();
    command.env("SSL_CERT_FILE", world.path("tls/fullchain.pem"));
    let output = command.arg("--check").output().await.unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""));
    assert!(out.ends_with("jit.toml is right: 2 upstreams\n"), "{out}");
    assert!(!world.path("jit.db").exists());
}

#[tokio::test]
async fn what_would_only_disappoint_is_told_and_is_no_error() {
    let console = "[console]\naddr = \"127.0.0.1:0\"\norigin = \"http://localhost:8081\"\n";
    let world = World::new(&format!("{LISTEN}{UPSTREAM}{console}"));
    let (code, out, err) = world.run(&["--check"]).await;
    assert!(out.ends_with("jit.toml is right: 1 upstream\n"), "{out}");
    let told: Vec<&str> = err.lines().collect();
    assert!(
        matches!(told[..], [line] if line.contains("name a provider under [console.sign_in]")),
        "{err}"
    );
    assert!(
        err.starts_with("jit.toml: warning: ") || err.contains("/jit.toml: warning: "),
        "{err}"
    );
    // Tokens in the clear, hosts that nobody serves, and hosts that nothing allows.
    let console = console.replace("127.0.0.1", "0.0.0.0");
    let listen = LISTEN.replace("127.0.0.1", "0.0.0.0");
    let upstream = format!("{UPSTREAM}hosts = [\"other.example.com\"]\n");
    let (fine, _, err) = World::new(&format!("{listen}{upstream}{console}"))
        .run(&["--check"])
        .await;
    assert_eq!(fine, Some(0), "{err}");
    for told in [
        "there is no TLS at the guarded listener, 0.0.0.0:0",
        "there is no TLS at the console's listener, 0.0.0.0:0",
        "serves \"other.example.com\", which no resource and no [[open]] of the policy names",
        &format!("the policy names the host {HOST:?}, which no upstream serves"),
    ] {
        assert!(err.contains(told), "{told}: {err}");
    }
    // Other balancers may serve them.
    let authz = "[authz]\naddr = \"127.0.0.1:0\"\nproxies = [\"127.0.0.1/32\"]\n";
    let world = World::new(&format!("{LISTEN}{upstream}{authz}"));
    let (_, out, err) = world.run(&["--check"]).await;
    assert!(
        out.contains("is right") && !err.contains("which no upstream serves"),
        "{err}"
    );
    // Bob loses his role, who alone could approve what Alice asks for.
    world.write("people.toml", &people("\"sre\"").replace("sre-lead", "sre"));
    let (again, _, err) = world.run(&["--check"]).await;
    assert_eq!((code, again), (Some(0), Some(0)), "{err}");
    assert!(
        err.contains(
            "policy.toml: warning: policy \"admin-for-sre\": what everybody (2) may ask for can't be approved"
        ),
        "{err}"
    );
}

#[tokio::test]
async fn what_is_in_the_way_at_the_start_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let world = World::new(&format!("[listen]\naddr = \"{at}\"\n{UPSTREAM}"));
    let (code, _, err) = world.run(&[]).await;
    assert_eq!(code, Some(1));
    assert!(
        err.contains(&format!("{at}: ")) && err.contains("the listener \"gate\""),
        "{err}"
    );

    let world = World::new(&format!("{LISTEN}{UPSTREAM}"));
    let served = world.serve().await;
    let (code, _, err) = world.run(&[]).await;
    assert!(code == Some(1) && err.contains("is in use by process"), "{err}");
    served.stop().await;

    let mut command = world.command();
    command.env("JIT_LOG", "jit_core=loud");
    let output = command.output().await.unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && err.starts_with("JIT_LOG: "),
        "{err}"
    );
}
