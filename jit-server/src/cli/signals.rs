//! The signals that tell a program to stop.

use std::fmt;
use std::io;

#[cfg(not(unix))]
pub(super) use other::Signals;
#[cfg(unix)]
pub(super) use unix::Signals;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Interrupt,
    #[cfg(unix)]
    Terminate,
    #[cfg(unix)]
    HangUp,
    #[cfg(unix)]
    Quit,
}

impl Signal {
    /// What a shell answers for a program that it ended.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            #[cfg(unix)]
            Self::Terminate => 143,
            #[cfg(unix)]
            Self::HangUp => 129,
            #[cfg(unix)]
            Self::Quit => 131,
        }
    }

    /// Whether the command has it from where this program has it: a terminal tells all that run on it.
    #[cfg(unix)]
    pub(super) fn reaches_everyone(self) -> bool {
        use std::io::IsTerminal as _;

        matches!(self, Self::Interrupt | Self::Quit) && io::stdin().is_terminal()
    }

    /// Whether the command has it from where this program has it.
    #[cfg(not(unix))]
    pub(super) const fn reaches_everyone(self) -> bool {
        true
    }

    #[cfg(unix)]
    pub(super) const fn raw(self) -> rustix::process::Signal {
        match self {
            Self::Interrupt => rustix::process::Signal::INT,
            Self::Terminate => rustix::process::Signal::TERM,
            Self::HangUp => rustix::process::Signal::HUP,
            Self::Quit => rustix::process::Signal::QUIT,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            #[cfg(unix)]
            Self::Terminate => "SIGTERM",
            #[cfg(unix)]
            Self::HangUp => "SIGHUP",
            #[cfg(unix)]
            Self::Quit => "SIGQUIT",
        })
    }
}

#[cfg(unix)]
mod unix {
    use std::io;

    use tokio::signal::unix::{SignalKind, signal};

    use super::Signal;

    /// Hears all of them from the moment it was made.
    #[derive(Debug)]
    pub(in crate::cli) struct Signals {
        interrupt: tokio::signal::unix::Signal,
        terminate: tokio::signal::unix::Signal,
        hang_up: tokio::signal::unix::Signal,
        quit: tokio::signal::unix::Signal,
    }

    impl Signals {
        pub(in crate::cli) fn listen() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hang_up: signal(SignalKind::hangup())?,
                quit: signal(SignalKind::quit())?,
            })
        }

        pub(in crate::cli) async fn next(&mut self) -> Signal {
            tokio::select! {
                _ = self.interrupt.recv() => Signal::Interrupt,
                _ = self.terminate.recv() => Signal::Terminate,
                _ = self.hang_up.recv() => Signal::HangUp,
                _ = self.quit.recv() => Signal::Quit,
            }
        }
    }
}

#[cfg(not(unix))]
mod other {
    use std::io;

    use super::Signal;

    /// Hears Ctrl-C.
    #[derive(Debug)]
    pub(in crate::cli) struct Signals;

    impl Signals {
        #[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
        pub(in crate::cli) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        pub(in crate::cli) async fn next(&mut self) -> Signal {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            Signal::Interrupt
        }
    }
}
