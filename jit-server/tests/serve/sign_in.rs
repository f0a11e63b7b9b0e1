//! People who sign in at the console through an identity provider.

use idp::SignIn;

use crate::application::Application;
use crate::client::{Answer, client};
use crate::world::{CONSOLE, World};

/// The cookie that an answer sets, as it is sent back.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn people_sign_in_at_the_provider_that_the_file_names() {
    let origin = format!("https://{CONSOLE}");
    let provider = SignIn::start(&format!("{origin}/login/callback"));
    let issuer = &provider.issuer;
    let app = Application::start("app").await;
    let world = World::before(
        &[app.at],
        &format!(
            "[console]\naddr = \"127.0.0.1:0\"\norigin = \"{origin}\"\n\
             [console.sign_in]\nname = \"Example Corp\"\nissuer = \"{issuer}\"\nclient_id = \"console\"\n\
             secret_file = \"oidc.secret\"\ndangerous_http_on_loopback = true\n"
        ),
    );
    world.write("oidc.secret", "secret of the console\n");
    world.write(
        "people.toml",
        &format!("[[people]]\nname = \"Alice\"\nroles = [\"sre\"]\nprincipals = [\"{issuer}|alice\"]\n"),
    );
    let served = world.serve().await;
    let console = client(served.at("console"), CONSOLE);
    let page = console.get("/login").await;
    assert!(page.text.contains("Sign in with Example Corp"), "{page:?}");

    let away = console.get("/login/start").await;
    assert_eq!(away.status, 303, "{away:?}");
    let back = idp::visit(away.header("location"), "alice").await;
    let back = back.strip_prefix(&origin).unwrap();
    let signed_in = console.clone().with("cookie", &cookie(&away)).get(back).await;
    assert_eq!(signed_in.status, 303, "{signed_in:?}");
    let ask = console.clone().with("cookie", &cookie(&signed_in));
    let ask = ask.get("/ask?resource=admin").await;
    assert_eq!(ask.status, 200, "{ask:?}");
    assert!(
        ask.text.contains("Alice") && ask.text.contains("admin-for-sre"),
        "{ask:?}"
    );
}
