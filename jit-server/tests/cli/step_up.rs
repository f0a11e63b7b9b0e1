//! A second factor, from a terminal and from a script.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::served::{SECRETS, Served, code, serve};
use crate::world::{PATIENCE, jit};

const ASK: [&str; 5] = ["request", "-r", "vault", "--reason", "x"];

#[tokio::test]
async fn a_script_proves_a_code_and_goes_on() {
    let served = serve().await;
    let passkey = ["With a passkey", "https://access.example.com", "a terminal"];
    served.jit("erin", &ASK).await.ended(
        3,
        &[&["With an authenticator app: jit step-up"], &passkey[..]].concat(),
    );
    for wrong in ["", "12345", "1234567", "hunter2", "１２３４５６"] {
        let refused = served.step_up("erin", wrong, &[]).await.ended(2, &["six digits"]);
        assert!(wrong.is_empty() || !refused.err.contains(wrong), "{refused:?}");
    }
    let right = code(SECRETS[1]);
    let wrong = if right == "000000" { "000001" } else { "000000" };
    let refused = served.step_up("erin", wrong, &[]).await;
    refused.ended(3, &["The code is not right"]);
    served.jit("erin", &ASK).await.ended(3, &[]);

    let spaced = format!("{} {}\n", &right[..3], &right[3..]);
    served
        .step_up("erin", &spaced, &[])
        .await
        .done(&["proved (otp); counts until 20"]);
    served.jit("erin", &ASK).await.done(&["active"]);
    let twice = served.step_up("erin", &right, &[]).await.ended(3, &[]);
    assert!(!twice.err.contains(&right), "{twice:?}");
    let proved = served.step_up("bob", &code(SECRETS[0]), &["-o", "json"]).await;
    assert_eq!(proved.done(&[]).json()["method"], "otp");

    // Who has no app is told what else there is.
    let none = served.step_up("alice", "123456", &[]).await;
    none.ended(3, &[&["No second factor of yours"], &passkey[..]].concat());
    let log = served.stop().await;
    assert!(!log.contains(&right), "{log}");
}

#[tokio::test]
async fn a_code_is_no_argument() {
    jit(&["step-up", "123456"])
        .await
        .ended(2, &["unexpected argument"]);
    jit(&["step-up", "--help"]).await.done(&[
        "not shown",
        "standard input",
        "passkey can't be used in a terminal",
    ]);
}

/// A terminal, and what is plugged into it.
struct Terminal {
    screen: File,
    line: OwnedFd,
}

impl Terminal {
    fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let line = File::options().read(true).write(true).open(name).unwrap();
        Self {
            screen: master.into(),
            line: line.into(),
        }
    }

    fn is_showing(&self) -> bool {
        tcgetattr(&self.line)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHO)
    }

    /// What it has shown up to now.
    fn shown(mut self) -> String {
        File::from(self.line).write_all(b"END").unwrap();
        let mut shown = Vec::new();
        while !shown.ends_with(b"END") {
            let mut some = [0; 256];
            let length = self.screen.read(&mut some).unwrap();
            shown.extend_from_slice(&some[..length]);
        }
        String::from_utf8(shown).unwrap()
    }
}

/// `jit step-up` at a terminal, once it has asked.
async fn asked(served: &Served, terminal: &Terminal) -> Child {
    let mut child = served
        .program("erin", &["step-up"])
        .stdin(Stdio::from(terminal.line.try_clone().unwrap()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut prompt = [0; 32];
    let reading = child.stderr.as_mut().unwrap().read_exact(&mut prompt);
    timeout(PATIENCE, reading).await.expect("it asks").unwrap();
    assert_eq!(&prompt, b"Code of your authenticator app: ");
    child
}

#[tokio::test]
async fn a_terminal_does_not_show_the_code_and_is_as_before_afterwards() {
    let served = serve().await;
    let mut terminal = Terminal::new();
    assert!(terminal.is_showing());
    let child = asked(&served, &terminal).await;
    assert!(!terminal.is_showing());
    let right = code(SECRETS[1]);
    terminal
        .screen
        .write_all(format!("{right}\n").as_bytes())
        .unwrap();
    let ended = timeout(PATIENCE, child.wait_with_output())
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(
        String::from_utf8(ended.stdout)
            .unwrap()
            .starts_with("proved (otp)")
    );
    assert!(terminal.is_showing());
    assert_eq!(terminal.shown(), "END");

    // Told to stop, it leaves the terminal as it was as well.
    let terminal = Terminal::new();
    let mut child = asked(&served, &terminal).await;
    let pid = child.id().unwrap().to_string();
    let told = Command::new("kill").args(["-INT", &pid]).status();
    assert!(told.await.unwrap().success());
    let ended = timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(130));
    assert!(terminal.is_showing());
    served.stop().await;
}
