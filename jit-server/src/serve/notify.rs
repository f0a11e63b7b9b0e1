//! What a service manager is told (`sd_notify(3)`): that the process is ready, reloading, stopping. Without `NOTIFY_SOCKET` nobody is.
//!
//! A unit wants `Type=notify`, or `Type=notify-reload` to reload by `systemctl reload`.

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Ready,
    Reloading,
    Stopping,
}

/// Tells it. That it could not be told changes nothing.
#[cfg(unix)]
pub(super) fn tell(phase: Phase) {
    let Some(to) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = unix::send(&to, &unix::words(phase)) {
        tracing::warn!(%error, ?phase, "the service manager could not be told");
    }
}

/// There is none to tell.
#[cfg(not(unix))]
pub(super) fn tell(_phase: Phase) {}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use rustix::time::{ClockId, clock_gettime};

    use super::Phase;

    pub(super) fn words(phase: Phase) -> String {
        match phase {
            Phase::Ready => "READY=1\n".to_owned(),
            Phase::Stopping => "STOPPING=1\n".to_owned(),
            // systemd compares the moment with that of its own signal. It decides nothing here.
            Phase::Reloading => {
                let now = clock_gettime(ClockId::Monotonic);
                let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec / 1000);
                format!("RELOADING=1\nMONOTONIC_USEC={micros}\n")
            }
        }
    }

    pub(super) fn send(to: &OsStr, words: &str) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address(to)?)?;
        let sent = socket.send(words.as_bytes())?;
        if sent == words.len() {
            return Ok(());
        }
        Err(io::ErrorKind::WriteZero.into())
    }

    /// A path, or after `@` the name of a socket that has none.
    fn address(to: &OsStr) -> io::Result<SocketAddr> {
        #[cfg(target_os = "linux")]
        if let Some(name) = to.as_bytes().strip_prefix(b"@") {
            use std::os::linux::net::SocketAddrExt;
            return SocketAddr::from_abstract_name(name);
        }
        if to.as_bytes().first() == Some(&b'/') {
            return SocketAddr::from_pathname(to);
        }
        let problem = "NOTIFY_SOCKET is neither an absolute path nor a name after @";
        Err(io::Error::new(io::ErrorKind::Unsupported, problem))
    }
}
