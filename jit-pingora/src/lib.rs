//! Just-in-time access in a pingora proxy.

mod gate;
mod head;
mod identity;
mod proxy;
mod refuse;
mod sever;
mod ticket;

use std::sync::Arc;

use pingora::proxy::{ProxyHttp, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::services::listening::Service;

pub use gate::JitGate;
pub use jit_core::gate::permit::Permit;
pub use proxy::Jit;
pub use sever::Severing;
pub use ticket::Ticket;

/// What [`service`] serves with.
pub type Guarded<P> = Severing<pingora::proxy::HttpProxy<Jit<P>>>;

/// A pingora service of `inner` behind `gate`.
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
