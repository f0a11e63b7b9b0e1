use jit_core::gate::Gate;
use tower_layer::Layer;

use crate::refuse::DefaultRefusal;
use crate::service::Jit;

/// Puts a [`Gate`] in front of a service. See the [crate's page](crate) for what it does.
#[derive(Debug, Clone)]
pub struct JitLayer<R = DefaultRefusal> {
    gate: Gate,
    responder: R,
}

impl JitLayer {
    /// Decides with `gate`, and answers refusals as [`DefaultRefusal`] does.
    pub const fn new(gate: Gate) -> Self {
        Self {
            gate,
            responder: DefaultRefusal,
        }
    }
}

impl<R> JitLayer<R> {
    /// Answers refusals with `responder`: a [`RefusalResponder`](crate::RefusalResponder), which a function
    /// `Fn(Refused<'_>) -> Response<Bytes>` is.
    #[must_use]
    pub fn with_refusal<T>(self, responder: T) -> JitLayer<T> {
        JitLayer {
            gate: self.gate,
            responder,
        }
    }
}

impl<S, R: Clone> Layer<S> for JitLayer<R> {
    type Service = Jit<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Jit::new(inner, self.gate.clone(), self.responder.clone())
    }
}
