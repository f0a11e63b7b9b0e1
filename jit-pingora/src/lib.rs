//! Just-in-time access in a [pingora](https://docs.rs/pingora) proxy: a request is admitted under a live grant, or answered, and what was
//! admitted ends with its grant.
//!
//! # Decision rules
//!
//! [`jit_core::gate`] decides, as at every other door; this crate carries it out. For every request, in this order:
//!
//! 1. The decision is made on what pingora will send: its raw target, so absolute-form as well as a path, and one Host. A target that is not
//!    UTF-8, or of no form that can be read, is refused; so is a Content-Length beside Transfer-Encoding, of which pingora tells nothing.
//! 2. A refusal is answered at once, with problem+json (RFC 9457) or a page, as `jit-tower` does it.
//! 3. What goes on loses the headers with which a client could pose as a gateway ([`jit_core::gate::hygiene::strip`]), and the gate's own
//!    credential. They are gone for every filter that comes after the decision, and for every upstream that is tried. Pingora itself sends
//!    no request trailers on, and refuses CONNECT.
//! 4. A path of the control API goes on with its credential: [`Ticket::is_control`] says so, and the proxy has to pick the control API
//!    as the upstream.
//! 5. What was admitted under a grant is in flight from then on. Every octet of both bodies is counted against the grant's limit and
//!    its idle timeout, and nothing passes once the grant has ended. The response says in `X-Jit-Expires` when that will be.
//! 6. [`Severing`] ends an admitted request as soon as its grant ends, whatever it waits for: a silent stream of events, a client that
//!    does not read, an upstream that does not answer. Over HTTP/1 the connection is closed, with a refusal if no answer has begun; over
//!    HTTP/2 one stream is reset. Over HTTP/1 the client is told why ([`jit_core::gate::farewell`]): a stream of events gets one more
//!    event, a WebSocket a close frame (code 1008), if the response stands between two of them.
//! 7. WebSocket is admitted where the request can be severed, and no other change of protocol is.
//! 8. Upstreams are told who asks if [`JitGate::introducing`] says so, and nothing otherwise.
//!
//! # Example
//!
//! ```no_run
//! use async_trait::async_trait;
//! use jit_core::gate::Gate;
//! use jit_pingora::{JitGate, Ticket, service};
//! use pingora::proxy::{ProxyHttp, Session};
//! use pingora::server::Server;
//! use pingora::upstreams::peer::HttpPeer;
//!
//! struct Proxy;
//!
//! #[async_trait]
//! impl ProxyHttp for Proxy {
//!     type CTX = Ticket; // or any type that holds one: `AsMut<Ticket>` and `AsRef<Ticket>`
//!
//!     fn new_ctx(&self) -> Ticket {
//!         Ticket::default()
//!     }
//!
//!     async fn upstream_peer(&self, _: &mut Session, ticket: &mut Ticket) -> pingora::Result<Box<HttpPeer>> {
//!         let upstream = if ticket.is_control() { "127.0.0.1:9000" } else { "127.0.0.1:8001" };
//!         Ok(Box::new(HttpPeer::new(upstream, false, String::new())))
//!     }
//! }
//!
//! fn serve(gate: Gate) -> pingora::Result<()> {
//!     let mut server = Server::new(None)?;
//!     let mut guarded = service(&server.configuration, JitGate::new(gate), Proxy);
//!     guarded.add_tcp("127.0.0.1:8080");
//!     server.add_service(guarded);
//!     server.bootstrap();
//!     server.run_forever()
//! }
//! ```
//!
//! [`service`] is the short way. [`Jit`] is the proxy alone, for a [`HttpProxy`] with options of its own, which [`Severing`] then
//! serves; [`JitGate`] has the filters one by one.
//!
//! # Deployment caveats
//!
//! - What was decided must be what is served: a proxy must not rewrite path, method or Host in `request_filter` or
//!   `upstream_request_filter`. `early_request_filter` and pingora's modules come before the decision.
//! - Without [`Severing`], by pingora's own `http_proxy_service`, a request ends when its next octet would pass, and WebSocket is refused.
//! - A request that is severed over HTTP/2 is dropped: pingora calls neither `logging` nor `fail_to_proxy` for it, and it gets no answer if
//!   none has begun. Over HTTP/1 that holds for one that waits for something else than its client (an upstream that takes no more of an
//!   upload) for 50 ms more, or takes longer than a second to come to its end. Each is logged by `tracing`, with its grant; count what must
//!   not be missed when the `CTX` is dropped.
//! - There are no last words over HTTP/2, nor without [`Severing`] on a response that waits: pingora gives nobody else the stream while it
//!   serves a request, and calls no filter. There are none on what pingora compresses on its way out.
//! - Where no upstream is the control API, build the gate [without it](jit_core::gate::GateBuilder::without_control_api): else its
//!   paths reach an application without a grant, and with the caller's credential.
//! - What a proxy writes to the session by itself is severed, but not counted.
//! - With `work_stealing` off there is no way to wait for a reservation in the filter of the response's body: a grant with a limit on
//!   bytes then admits nothing. With it on, that filter blocks its thread while more of a budget is reserved, and other tasks move on.
//! - A retry sends buffered octets again, and they are counted again. What pingora compresses is counted before.
//! - Pingora percent-encodes spaces, quotes and angle brackets in a target, where HTTP forbids them, before anything sees it. Gate and
//!   upstream see the same; a balancer in front may have seen something else.
//! - A cache is shared by all who are admitted to a path. Revalidation in the background has no credential, and is refused on protected paths.
//! - The peer's address is the connection's. Forwarding headers are dropped and never believed.
//! - Pingora 0.9 now and then closes a WebSocket right after its 101, when the upstream's answer comes before pingora has seen that the
//!   request has no body (cloudflare/pingora#946). The gate has no part in it; a client that connects again gets through.
//! - Pingora's features `patched_http1` and `upstream_modules` are not supported: the one reads headers without checks, the other adds
//!   filters that [`Jit`] does not hand on.

mod gate;
mod head;
mod identity;
mod proxy;
mod refuse;
mod sever;
mod switch;
mod ticket;
mod words;

use std::sync::Arc;

use pingora::proxy::{HttpProxy, ProxyHttp, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::services::listening::Service;

pub use gate::JitGate;
pub use jit_core::gate::permit::Permit;
pub use proxy::Jit;
pub use sever::Severing;
pub use ticket::Ticket;

/// What [`service`] serves with.
pub type Guarded<P> = Severing<HttpProxy<Jit<P>>>;

/// A pingora service of `inner` behind `gate`, whose requests end with their grants. It still has to be told where to listen.
pub fn service<P>(conf: &Arc<ServerConf>, gate: JitGate, inner: P) -> Service<Guarded<P>>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: AsMut<Ticket> + AsRef<Ticket> + Send + Sync,
{
    Service::new(
        "jit".into(),
        Severing::new(http_proxy(conf, Jit::new(gate, inner))),
    )
}
