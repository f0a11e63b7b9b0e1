//! The end of a request that nobody polls.
//!
//! Pingora has no call that closes a session from outside. While a response stalls, none of a proxy's filters is called either. So the future
//! that serves a request is watched here. When its flight is cut,
//!
//! - over HTTP/1 the client's connection is switched off: whatever pingora reads or writes there fails, and pingora ends the request as it ends
//!   every failed one, logging included. Nothing passes meanwhile but an answer, if none has begun, or the last words on one.
//! - the future is dropped, over HTTP/1 if it takes no notice or has not ended soon, over HTTP/2 at once: pingora lets go of the upstream's
//!   connection, and the client's stream is reset.

use std::fmt;
use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jit_core::gate::cut::Cut;
use jit_core::gate::flight::Flight;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::switch::{State, Switch, Switched};

/// How long pingora has to take notice, once nothing passes any more. It does so at once, unless it waits for something else than the client.
const NOTICE: Duration = Duration::from_millis(50);
/// How long it has after that to come to its own end.
const GRACE: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// Where the request that this task serves leaves its flight.
    static SEAT: Arc<Seat>;
}

#[derive(Debug)]
struct Seat {
    waiting: Mutex<Option<oneshot::Sender<Arc<Flight>>>>,
    /// There is something to say on the answer when it is cut.
    speaks: AtomicBool,
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Option<oneshot::Sender<Arc<Flight>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the request that is being served can be severed.
pub(crate) fn can_sever() -> bool {
    SEAT.try_with(|seat| seat.lock().is_some()).unwrap_or(false)
}

/// Has the request that is being served severed when `flight` is cut, if it [can](can_sever) be.
pub(crate) fn board(flight: &Arc<Flight>) {
    let waiting = SEAT.try_with(|seat| seat.lock().take());
    if let Ok(Some(waiting)) = waiting {
        // Nobody waits where the request has ended already.
        let _: Result<(), Arc<Flight>> = waiting.send(Arc::clone(flight));
    }
}

/// The answer of the request that is being served has room for last words.
pub(crate) fn will_speak() {
    // Where nothing is severed there is nobody to wait for them.
    let _ = SEAT.try_with(|seat| seat.speaks.store(true, Ordering::SeqCst));
}

/// A proxy whose requests end with their flights, whatever they wait for. [`service`](crate::service) makes one.
pub struct Severing<A> {
    watching: Arc<Watching<A>>,
}

impl<A> Severing<A> {
    /// Serves with `app`, which is a [`HttpProxy`](pingora::proxy::HttpProxy) of a [`Jit`](crate::Jit), or of a proxy that uses a
    /// [`JitGate`](crate::JitGate) by itself.
    pub fn new(app: A) -> Self {
        Self {
            watching: Arc::new(Watching { app: Arc::new(app) }),
        }
    }
}

impl<A> fmt::Debug for Severing<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Severing").finish_non_exhaustive()
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for Severing<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let switched = Box::new(Switched::new(stream));
        self.watching.process_new(switched, shutdown).await
    }

    async fn cleanup(&self) {
        self.watching.cleanup().await;
    }
}

/// Watches each request of a connection.
struct Watching<A> {
    app: Arc<A>,
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Watching<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let (boards, boarded) = oneshot::channel();
        let seat = Arc::new(Seat {
            waiting: Mutex::new(Some(boards)),
            speaks: AtomicBool::new(false),
        });
        let switch = Switch::of(&session);
        let served = self.app.process_new_http(session, shutdown);
        let mut serving = pin!(SEAT.scope(Arc::clone(&seat), served));
        let (flight, cut) = tokio::select! {
            biased;
            reused = &mut serving => return reused,
            end = end(boarded) => end,
        };
        let (permit, status) = (flight.permit(), flight.status());
        tracing::info!(grant = %permit.grant_id(), holder = %permit.holder(), ?status, %cut, "a request was severed");
        if let Some(switch) = switch {
            let speaks = status.is_none() || seat.speaks.load(Ordering::SeqCst);
            wind_up(&switch, speaks, serving).await;
        }
        None
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.app.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.app.server_options()
    }

    async fn http_cleanup(&self) {
        self.app.http_cleanup().await;
    }
}

/// Lets a request come to its own end, without its client.
async fn wind_up<F: Future>(switch: &Switch, speaks: bool, mut serving: Pin<&mut F>) {
    for state in [State::Answering, State::Off] {
        if state == State::Answering && !speaks {
            continue;
        }
        switch.set(state);
        let patience = async {
            sleep(NOTICE).await;
            if switch.is_noticed() {
                sleep(GRACE).await;
            }
        };
        tokio::select! {
            _ = &mut serving => return,
            () = patience => {}
        }
    }
}

async fn end(boarded: oneshot::Receiver<Arc<Flight>>) -> (Arc<Flight>, Cut) {
    match boarded.await {
        Ok(flight) => {
            let cut = flight.cut().await;
            (flight, cut)
        }
        // What was not admitted under a grant ends when it ends.
        Err(_) => pending().await,
    }
}
