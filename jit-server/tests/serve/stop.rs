//! The end: in order, in time, and told to whom it concerns.

use tokio::net::UnixDatagram;

use crate::application::Application;
use crate::world::{World, in_time, refused};

#[tokio::test]
async fn what_is_in_flight_ends_and_nothing_new_begins() {
    let app = Application::start("app").await;
    for signal in ["TERM", "INT"] {
        let world = World::before(&[app.at], "");
        let served = world.serve().await;
        let gate = served.gate();
        let slow = tokio::spawn({
            let gate = gate.clone();
            async move { gate.get("/slow").await }
        });
        app.arrival().await;
        assert_eq!(served.operator().get("/readyz").await.status, 200);
        served.signal(signal).await;
        served.event("stopping").await;
        refused(served.at("gate")).await;
        let ready = served.operator().get("/readyz").await;
        assert_eq!((ready.status, ready.text.as_str()), (503, "stopping\n"));
        assert_eq!(served.operator().get("/livez").await.status, 200);
        assert_eq!(served.metric("jit_stopping").await, 1.0);
        app.release();
        let answer = slow.await.unwrap();
        assert_eq!((answer.status, answer.first_line()), (200, "app"), "{signal}");
        let (code, log) = served.ended().await;
        assert_eq!(code, Some(0), "{log:#?}");
        assert_eq!(log.last().unwrap()["message"], "stopped", "{signal}");
    }
}

#[tokio::test]
async fn it_says_that_it_goes_before_it_shuts() {
    let app = Application::start("app").await;
    let world = World::before(&[app.at], "[stop]\ndelay = \"1h\"\n");
    let served = world.serve().await;
    served.signal("TERM").await;
    served.event("stopping").await;
    in_time("503", async {
        while served.operator().get("/readyz").await.status != 503 {}
    })
    .await;
    assert_eq!(served.gate().get("/").await.status, 200);
    // Whoever can't wait says so twice.
    served.signal("TERM").await;
    served.event("told to stop again: what is in flight is cut").await;
    assert_eq!(served.ended().await.0, Some(0));
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let app = Application::start("app").await;
    let world = World::before(&[app.at], "[stop]\ngrace = \"50ms\"\n");
    let served = world.serve().await;
    let gate = served.gate();
    let slow = tokio::spawn(async move { gate.open("GET", "/slow", "").await });
    app.arrival().await;
    let log = served.stop().await;
    let cut = "what was in flight did not end in time, and is cut";
    assert!(log.iter().any(|event| event["message"] == cut), "{log:#?}");
    assert!(slow.await.unwrap().is_err());
}

#[tokio::test]
async fn a_service_manager_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    told_at(path.to_str().unwrap(), &UnixDatagram::bind(&path).unwrap()).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_service_manager_without_a_path_is_told() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net;

    let name = format!("jit-serve-{}", std::process::id());
    let at = net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = net::UnixDatagram::bind_addr(&at).unwrap();
    socket.set_nonblocking(true).unwrap();
    told_at(&format!("@{name}"), &UnixDatagram::from_std(socket).unwrap()).await;
}

/// All that a service manager is told, in order.
async fn told_at(address: &str, socket: &UnixDatagram) {
    let told = async || {
        let mut datagram = [0; 512];
        let length = in_time("a word", socket.recv(&mut datagram)).await.unwrap();
        String::from_utf8(datagram[..length].to_vec()).unwrap()
    };
    let app = Application::start("app").await;
    let world = World::before(&[app.at], "");
    let mut command = world.command();
    command.env("NOTIFY_SOCKET", address);
    let served = world.serve_by(command).await;
    assert_eq!(told().await, "READY=1\n");
    served.signal("HUP").await;
    let reloading = told().await;
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(since.trim_end().parse::<u64>().unwrap() > 0);
    assert_eq!(told().await, "READY=1\n");
    served.stop().await;
    assert_eq!(told().await, "STOPPING=1\n");
}
