//! The one answer with a secret in it.

use jit_core::approval::ask::Selector;
use jit_core::broker::Issued;
use jit_core::gate::hygiene::{GRANT_COOKIE, GRANT_HEADER};
use serde::Serialize;
use utoipa::ToSchema;

use super::{RequestView, text};
use crate::settings::ApiSettings;

/// A credential that was just issued. Not `Debug`: what can't be printed is not printed by accident.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedCredential)]
pub(crate) struct IssuedView {
    /// The credential, shown this once: whoever has it uses the grant. It ends with the grant, or when another one is issued for it.
    #[schema(example = "jitg_4hTQ5Hd0mC1nS9yVb2eXw7kZpLr3uFgA6oJiNsYtE8c")]
    credential: String,
    /// The header that a program sends it in, bare.
    #[schema(example = "jit-credential")]
    header: String,
    /// The cookie that it can stand in instead.
    #[schema(example = "__Host-jit-grant")]
    cookie: &'static str,
    /// The request whose grant it opens.
    request: RequestView,
}

impl IssuedView {
    pub(crate) fn new(issued: &Issued, settings: &ApiSettings) -> Self {
        Self {
            credential: text(issued.token.reveal()),
            header: text(GRANT_HEADER),
            cookie: GRANT_COOKIE,
            request: RequestView::new(&issued.view, settings),
        }
    }
}

pub(super) const fn selector(selector: Selector) -> &'static str {
    match selector {
        Selector::Principal => "principal",
        Selector::Credential => "credential",
        _ => "other",
    }
}
