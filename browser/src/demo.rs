//! A demo of its own on free ports.

use std::net::SocketAddr;

use jit_server::demo::{Demo, DemoArgs};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::BoxError;

/// A demo that runs until this is dropped.
#[derive(Debug)]
pub struct Running {
    guarded: SocketAddr,
    console: String,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), BoxError>>,
}

impl Running {
    /// Starts one.
    ///
    /// # Errors
    /// What was in the way.
    pub async fn start() -> Result<Self, BoxError> {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let args = DemoArgs {
            listen: anywhere,
            console: anywhere,
            policy: None,
            people: None,
            no_open: true,
        };
        let demo = Demo::open(&args).await?;
        let (guarded, console) = (demo.guarded(), demo.console_origin().to_owned());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(demo.serve(async {
            // A word and the end of whoever could say it mean the same.
            let _ = stopped.await;
        }));
        Ok(Self {
            guarded,
            console,
            stop: Some(stop),
            served,
        })
    }

    /// An address of the guarded application.
    pub fn guarded(&self, path: &str) -> String {
        format!("http://{}{path}", self.guarded)
    }

    /// An address of the console.
    pub fn console(&self, path: &str) -> String {
        format!("{}{path}", self.console)
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// What ended it before, or kept it from writing down the last records.
    pub async fn stop(mut self) -> Result<(), BoxError> {
        self.stop = None;
        (&mut self.served).await?
    }
}
