//! The tools for policies, which need no server.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::world::{Ran, jit, program};

const POLICY: &str = r#"[control]
auditors = ["auditor"]

[[open]]
hosts = ["app.example.com"]
paths = ["/"]

[[open]]
hosts = ["old.example.com"]
paths = ["/"]

[[resources]]
name = "admin"
hosts = ["app.example.com"]
paths = ["/admin"]

[[resources]]
name = "billing"
hosts = ["app.example.com"]
paths = ["/billing"]

[[policies]]
name = "admin-for-sre"
resources = ["admin"]
requesters = { roles = ["sre"] }
duration = { default = "30m", max = "4h" }
reason = { required = true, min_length = 10 }
ticket = { required = false, pattern = '^INC-\d+$' }
stages = [ { name = "lead", approvers = { roles = ["sre-lead"] }, quorum = 1 } ]
automatic = [ { when = 'request.ticket == "INC-1" && subject.claims.team == "core"' } ]
break_glass = { requesters = { roles = ["commander"] }, max = "30m", review_within = "24h" }

[[policies]]
name = "billing-for-finance"
resources = ["billing"]
requesters = { roles = ["finance"] }
mfa = {}
approval = "automatic"
"#;

const PEOPLE: &str = r#"[[people]]
name = "Alice"
roles = ["sre"]

[[people]]
name = "Bob"
roles = ["sre-lead", "sre"]

[[people]]
name = "Frank"
roles = ["finance", "commander"]
"#;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("policy.toml", POLICY);
        folder.write("people.toml", PEOPLE);
        folder
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    async fn policy(&self, args: &[&str]) -> Ran {
        let mut command = program(&["policy"]);
        command.args(args).current_dir(self.0.path());
        crate::world::ran(command).await
    }
}

#[tokio::test]
async fn the_example_and_its_schema_are_printed() {
    let folder = Folder::new();
    let example = folder.policy(&["example"]).await.done(&["break_glass = "]);
    folder.write("example.toml", example.out);
    folder
        .policy(&["check", "example.toml", "--deny-warnings"])
        .await
        .done(&["warnings: 0"]);
    let schema = folder.policy(&["schema"]).await.done(&[]).json();
    assert_eq!(schema["title"], "PolicyFile");
    folder.write("wrong.toml", "[[resource]]");
    let wrong = folder.policy(&["check", "wrong.toml"]).await;
    assert!(
        wrong.out.contains("`jit policy schema` prints the keys"),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn a_check_names_file_line_and_mend() {
    let folder = Folder::new();
    folder
        .policy(&["check", "policy.toml"])
        .await
        .done(&["policy.toml: ok; resources: 2, open: 2, policies: 2"]);
    folder.write(
        "wrong.toml",
        POLICY
            .replace("quorum = 1", "quorum = 0")
            .replace("approval =", "aproval ="),
    );
    let wrong = folder.policy(&["check", "policy.toml", "wrong.toml"]).await;
    assert!(wrong.out.contains("policy.toml: ok"), "{wrong:?}");
    assert!(wrong.out.contains("wrong.toml:38: error: "), "{wrong:?}");
    assert!(wrong.out.contains("; mend: "), "{wrong:?}");
    wrong.ended(1, &["not in order: wrong.toml"]);
    folder.write("quorum.toml", POLICY.replace("quorum = 1", "quorum = 0"));
    let wrong = folder.policy(&["check", "quorum.toml"]).await;
    assert!(
        wrong.out.contains("quorum.toml:29: error: ") && wrong.out.contains("mend: write at least 1"),
        "{wrong:?}"
    );
    assert_eq!(wrong.code, 1);

    // With people: Bob is the only lead, and asks himself.
    let checked = folder
        .policy(&["check", "policy.toml", "--people", "people.toml"])
        .await;
    checked.done(&[
        "policy.toml: warning: policy \"admin-for-sre\": what bob may ask for can't be approved, unless a condition under `automatic` holds: stage \"lead\" takes 1",
        "breaking the glass wants a second factor, which can't be had by frank; mend: give them totp_secret_file",
    ]);
    let args = [
        "check",
        "policy.toml",
        "--people",
        "people.toml",
        "--deny-warnings",
    ];
    folder
        .policy(&args)
        .await
        .ended(1, &["warnings, and none is allowed"]);
    folder.write("policy.conf", POLICY);
    for (file, part) in [("none.toml", "none.toml: "), ("policy.conf", "end it in .toml")] {
        let ran = folder.policy(&["check", file]).await;
        assert!(ran.code == 1 && ran.out.contains(part), "{ran:?}");
    }
    // What a file says can't act on a terminal either.
    folder.write("evil.toml", "\"\u{202e}x\" = 1\n\"a\\u001b[2J\" = 1\n");
    let ran = folder.policy(&["check", "evil.toml"]).await;
    assert!(
        ran.code == 1 && !ran.out.contains('\u{202e}') && !ran.out.contains('\u{1b}'),
        "{ran:?}"
    );
}

#[tokio::test]
async fn an_explanation_says_who_may_and_why_not() {
    let folder = Folder::new();
    for (args, parts) in [
        (
            &["https://app.example.com/admin/x"][..],
            &[
                "GET https://app.example.com/admin/x is protected by resource admin",
                "may ask      role sre",
            ][..],
        ),
        (
            &["https://app.example.com/ADMIN"],
            &["denied to everyone: it reads like resource admin"],
        ),
        (&["https://app.example.com/x"], &["is open to everyone"]),
        (&["https://nowhere.example.com/x"], &["no rule names its host"]),
        (
            &["https://app.example.com/a/../admin"],
            &["refused: the path holds a '.' or '..' segment"],
        ),
        (
            &["admin", "--people", "people.toml"],
            &[
                "may ask      role sre (now: alice, bob)",
                "lead: 1 of role sre-lead (now: bob)",
            ],
        ),
        (
            &["admin", "--people", "people.toml", "--person", "alice"],
            &[
                "alice has roles sre\n",
                "may ask under admin-for-sre",
                "if alice asks: 30m under admin-for-sre, once these stages agree: lead",
            ],
        ),
        (
            &["admin", "--people", "people.toml", "--person", "bob"],
            &["may review what others ask under admin-for-sre, in stage lead"],
        ),
        (
            &["admin", "--people", "people.toml", "--person", "frank"],
            &[
                "may not ask under admin-for-sre",
                "may break the glass",
                "if frank asks: refused: no policy",
            ],
        ),
        (
            &[
                "admin",
                "--people",
                "people.toml",
                "--person",
                "frank",
                "--break-glass",
                "--amr",
                "otp",
            ],
            &["at once, by breaking the glass"],
        ),
        (
            &["admin", "--role", "sre", "--duration", "5h"],
            &["refused: `duration` is 5h"],
        ),
        (
            &["admin", "--role", "sre", "--ticket", "x"],
            &["refused: `ticket` does not match"],
        ),
        (
            &["billing", "--role", "finance"],
            &["refused: a stronger or more recent sign-in"],
        ),
        (
            &["billing", "--role", "finance", "--amr", "otp"],
            &["at once: approval is automatic"],
        ),
        (&[], &["resource admin:", "resource billing:"]),
    ] {
        folder
            .policy(&[&["explain", "policy.toml"], args].concat())
            .await
            .done(parts);
    }
    folder
        .policy(&["explain", "policy.toml", "nothing"])
        .await
        .ended(1, &["there are: admin, billing; or name a whole URL"]);
    let args = [
        "explain",
        "policy.toml",
        "admin",
        "--people",
        "people.toml",
        "--person",
        "zoe",
    ];
    folder.policy(&args).await.ended(1, &["no person \"zoe\""]);
    folder.write("broken.toml", "[[resources]]\nnames = \"x\"\n");
    let broken = folder.policy(&["explain", "broken.toml"]).await;
    let broken = broken.ended(1, &["broken.toml:2: error: unknown field `names`"]);
    assert!(!broken.err.starts_with("error:"), "{broken:?}");
}

const CASES: &str = r#"policy = "policy.toml"
people = "people.toml"
now = "2026-03-01T09:00:00Z"

[[case]]
name = "an engineer needs a lead"
person = "alice"
request = "GET https://app.example.com/admin/users"
ask = { reason = "look into INC-42", duration = "1h" }
expect = "stages"
resource = "admin"
under = "admin-for-sre"
reviewers = ["bob"]
not_reviewers = ["alice", "frank"]

[[case]]
name = "nobody reviews their own"
person = "bob"
ask = { resource = "admin", reason = "look into INC-42" }
expect = "stages"
not_reviewers = ["bob"]

[[case]]
name = "the incident of the day is automatic for the core team"
person = "alice"
claims = { team = "core" }
ask = { resource = "admin", reason = "look into INC-1", ticket = "INC-1" }
expect = "automatic"

[[case]]
name = "too long"
roles = ["sre"]
ask = { resource = "admin", reason = "look into INC-42", duration = "5h" }
expect = "invalid"
field = "duration"

[[case]]
name = "strangers don't ask"
roles = []
ask = { resource = "admin" }
expect = "not-eligible"

[[case]]
name = "glass"
person = "frank"
amr = ["otp"]
ask = { resource = "admin", reason = "everything burns", break_glass = true }
expect = "break-glass"

[[case]]
name = "money needs a second factor"
person = "frank"
request = "POST https://app.example.com/billing"
expect = "step-up"

[[case]]
name = "the front page is open, whoever looks"
person = "alice"
request = "https://app.example.com/"
expect = "open"

[[case]]
name = "what is governed"
request = "GET https://app.example.com/admin"
expect = "protected"
resource = "admin"

[[case]]
name = "no other spelling"
request = "GET https://app.example.com/Admin"
expect = "denied"

[[case]]
name = "no other host"
request = "GET https://x.example.com/"
expect = "unknown-host"

[[case]]
name = "no tricks"
request = "GET https://app.example.com/x/..%2fadmin"
expect = "bad-request"
"#;

#[tokio::test]
async fn cases_pass_until_the_policy_says_something_else() {
    let folder = Folder::new();
    folder.write("cases.toml", CASES);
    let passed = folder
        .policy(&["test", "cases.toml"])
        .await
        .done(&["12 passed, 0 failed", "ok    glass"]);
    assert!(!passed.out.contains("FAIL"), "{passed:?}");
    // From elsewhere: what it names is beside it.
    jit(&["policy", "test", &folder.path("cases.toml")])
        .await
        .done(&["12 passed"]);

    for (from, to, failures) in [
        (
            "roles = [\"sre-lead\"]",
            "roles = [\"boss\"]",
            &["(cases.toml:5)", "bob can't review it"][..],
        ),
        (
            "requesters = { roles = [\"sre\"] }",
            "requesters = { roles = [\"dev\"] }",
            &["verdict: expected \"stages\", got \"not-eligible\""],
        ),
        (
            "max = \"4h\"",
            "max = \"5h\"",
            &[
                "(cases.toml:30)",
                "verdict: expected \"invalid\", got \"stages\"",
                "field: expected \"duration\", got none",
            ],
        ),
        (
            "mfa = {}\n",
            "",
            &["FAIL  money needs", "expected \"step-up\", got \"automatic\""],
        ),
        (
            "paths = [\"/admin\"]",
            "paths = [\"/adm\"]",
            &["FAIL  what is governed", "resource: expected \"admin\", got none"],
        ),
    ] {
        assert!(POLICY.contains(from), "{from}");
        folder.write("other.toml", POLICY.replace(from, to));
        let failed = folder
            .policy(&["test", "cases.toml", "--policy", "other.toml"])
            .await;
        for part in failures {
            assert!(failed.out.contains(part), "no {part:?}: {failed:?}");
        }
        failed.ended(1, &["come out as expected"]);
    }
}

#[tokio::test]
async fn a_case_that_tests_nothing_is_an_error() {
    let folder = Folder::new();
    for (cases, part) in [
        ("policy = \"policy.toml\"", "there is no [[case]]"),
        ("[[case]]\nname = \"x\"\nexpect = \"open\"", "no policy is named"),
        (
            "policy = \"policy.toml\"\n[[case]]\nname = \"x\"\nexpect = \"open\"\nexspect = 1",
            "cases.toml:5: unknown field",
        ),
        (
            "policy = \"policy.toml\"\n[[case]]\nname = \"x\"\nperson = \"alice\"\nexpect = \"open\"",
            "no people file",
        ),
        (
            "policy = \"policy.toml\"\npeople = \"none.toml\"",
            "cases.toml names it as people",
        ),
        (
            "policy = \"policy.toml\"\n[[case]]\nname = \"x\"\nrequest = \"GET /admin\"\nexpect = \"open\"",
            "write something like GET https",
        ),
    ] {
        folder.write("cases.toml", cases);
        folder.policy(&["test", "cases.toml"]).await.ended(1, &[part]);
    }
    for (case, part) in [
        (
            "expect = \"opne\"\nrequest = \"https://app.example.com/\"",
            "means nothing",
        ),
        ("expect = \"open\"", "a case needs a request"),
        ("expect = \"stages\"\nroles = [\"sre\"]", "a case needs a request"),
        (
            "expect = \"stages\"\nrequest = \"https://app.example.com/admin\"",
            "expected \"stages\", got \"protected\"",
        ),
    ] {
        folder.write(
            "cases.toml",
            format!("policy = \"policy.toml\"\n[[case]]\nname = \"x\"\n{case}"),
        );
        let failed = folder.policy(&["test", "cases.toml"]).await;
        assert!(failed.out.contains(part), "no {part:?}: {failed:?}");
        failed.ended(1, &[]);
    }
}

#[tokio::test]
async fn a_log_says_who_would_have_needed_what() {
    let folder = Folder::new();
    let mut log = String::new();
    for n in 0..3 {
        let _ = writeln!(
            log,
            r#"10.0.0.1 - alice [01/Mar/2026:09:00:0{n} +0000] "GET /admin/{n} HTTP/1.1" 200 1"#
        );
    }
    log += r#"10.0.0.1 - frank [01/Mar/2026:09:00:00 +0000] "GET /admin/x HTTP/1.1" 200 1
10.0.0.1 - - [01/Mar/2026:09:00:00 +0000] "GET /home HTTP/1.1" 200 1
10.0.0.1 - x\x1b[2J [01/Mar/2026:09:00:00 +0000] "GET /admin\x1b HTTP/1.1" 200 1
{"host": "nowhere.example.com", "method": "GET", "uri": "/", "user": "alice"}
garbage
"#;
    folder.write("access.log", &log);
    let args = [
        "replay",
        "policy.toml",
        "access.log",
        "--host",
        "app.example.com",
        "--people",
        "people.toml",
    ];
    let told = folder.policy(&args).await.done(&[
        "access.log: 7 requests; 1 line of something else (line 8)\n\nVERDICT",
        "yes, under admin-for-sre",
        "\n  resource billing\n  [[open]] old.example.com /\n  policy billing-for-finance\n",
    ]);
    let row = |start: &str| {
        let row = told
            .out
            .lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start}: {told:?}"));
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("protected")[1], "4");
    assert_eq!(row("open")[1], "1");
    assert_eq!(row("unknown-host")[1], "1");
    assert_eq!(row("bad-request")[1], "1");
    assert_eq!(row("alice")[..3], ["alice", "admin", "3"]);
    assert_eq!(row("frank")[..4], ["frank", "admin", "1", "no"]);
    assert!(!told.out.contains("resource admin\n"), "{told:?}");
    assert!(!told.out.contains('\u{1b}'), "{told:?}");

    assert!(!told.out.contains("names no host"), "{told:?}");
    let hostless = ["replay", "policy.toml", "access.log"];
    let hostless = folder.policy(&hostless).await;
    // The line in JSON names its host.
    hostless
        .done(&["(line 8)\nFor 6 of them the log names no host, which makes each a bad-request; say which host it is with --host.\n\nVERDICT"]);

    for (log, code, told) in [
        ("", 1, "x.log: it is empty"),
        ("x\n", 1, "x.log: no line is a request"),
        (
            "::1 - - [x] \"GET /admin HTTP/1.1\" 200 1\n::1 - - [x] \"OPTIONS * HTTP/1.1\" 200 1\n",
            2,
            "x.log: no line names a host, and a policy is about hosts; say which host it is the log of, as in --host app.example.com",
        ),
    ] {
        folder.write("x.log", log);
        let replay = folder.policy(&["replay", "policy.toml", "x.log"]).await;
        let replay = replay.ended(code, &[told]);
        assert_eq!(replay.out, "", "{replay:?}");
    }
}

#[tokio::test]
async fn what_a_log_makes_grow_has_a_limit() {
    let folder = Folder::new();
    let args = [
        "policy",
        "replay",
        &folder.path("policy.toml"),
        "-",
        "--host",
        "app.example.com",
        "--top",
        "3",
    ];
    let mut child = program(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let writing = tokio::spawn(async move {
        for part in 0..12 {
            let mut lines = String::new();
            for n in 0..1000 {
                let user = part * 1000 + n;
                let _ = writeln!(lines, r#"::1 - user{user} [x] "GET /admin HTTP/1.1" 200 1"#);
            }
            input.write_all(lines.as_bytes()).await.unwrap();
        }
        let endless = vec![b'x'; 1024 * 1024];
        for _ in 0..8 {
            input.write_all(&endless).await.unwrap();
        }
    });
    let output = tokio::time::timeout(crate::world::PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    writing.await.unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    for part in [
        "-: 12000 requests; 1 line of something else (line 12001)",
        "… and 9997 more",
        "2000 more requests are by users beyond the first 10000",
    ] {
        assert!(out.contains(part), "no {part:?}: {out}");
    }
}

#[tokio::test]
async fn the_example_in_the_help_is_one_that_works() {
    let help = jit(&["policy", "test", "--help"]).await.done(&["[[case]]"]);
    let lines = help
        .out
        .lines()
        .skip_while(|line| !line.trim_start().starts_with("policy = "));
    let example: Vec<&str> = lines
        .take_while(|line| line.is_empty() || line.starts_with("  "))
        .map(str::trim)
        .collect();
    let folder = Folder::new();
    assert!(Path::new(&folder.write("cases.toml", example.join("\n"))).exists());
    folder
        .policy(&["test", "cases.toml"])
        .await
        .done(&["1 passed, 0 failed"]);
}
