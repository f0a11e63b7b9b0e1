//! What concerns the caller: who I am, what I may ask for, and what this API is.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use jit_core::policy::Offer;
use jit_core::policy::text::REASON_MAX;
use serde::Serialize;
use utoipa::ToSchema;

use super::grants::NoParams;
use crate::extract::{Caller, Params};
use crate::json::Json;
use crate::problem::Problem;
use crate::settings::Shared;
use crate::view::{DefinitionView, MfaView, Page, PrincipalView, StageView, Time, text, texts};

/// Who you are here.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Me)]
pub(crate) struct MeView {
    person: String,
    name: String,
    principal: PrincipalView,
    roles: Vec<String>,
    /// How you signed in (RFC 8176).
    methods: Vec<String>,
    /// When you signed in, if the issuer says.
    authenticated_at: Option<Time>,
    powers: PowersView,
}

/// What you may do beyond asking and reviewing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Powers)]
pub(crate) struct PowersView {
    /// Read the audit log.
    auditor: bool,
    /// Take away anyone's grant.
    revoker: bool,
    /// Declare and lift lockdowns, and clear passkeys that others have lost.
    lockdown: bool,
}

/// Read who you are.
#[utoipa::path(
    get, path = "/v1/me", tag = "me", operation_id = "read_me",
    responses((status = 200, description = "You.", body = MeView)))]
pub(crate) async fn me(
    State(shared): State<Shared>,
    caller: Caller,
    params: Params,
) -> Result<Json<MeView>, Problem> {
    let NoParams {} = params.read()?;
    let actor = &caller.actor;
    let powers = shared.broker.powers(actor);
    Ok(Json(MeView {
        person: text(&actor.person.id),
        name: text(&actor.person.name),
        principal: (&actor.principal).into(),
        roles: texts(&actor.person.roles),
        methods: actor.assurance.methods.clone(),
        authenticated_at: actor.assurance.authenticated_at.map(Time),
        powers: PowersView {
            auditor: powers.auditor,
            revoker: powers.revoker,
            lockdown: powers.lockdown,
        },
    }))
}

/// One thing that you may ask for, under one policy.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Offer)]
pub(crate) struct OfferView {
    resource: String,
    definition: DefinitionView,
    policy: String,
    duration: OfferedDurationView,
    /// A request that is not decided within this times out.
    pending_timeout: String,
    /// A grant that is not used within this of its start ends.
    use_within: Option<String>,
    /// A grant that is not used for this long ends.
    idle_timeout: Option<String>,
    reason: ReasonView,
    ticket: TicketView,
    /// How strongly you must have signed in.
    mfa: Option<MfaView>,
    limits: LimitsView,
    /// Who must agree, in this order.
    stages: Vec<StageView>,
    /// Whether it needs nobody's agreement: `always`, `sometimes` (the policy's conditions decide) or `never`.
    automatic: &'static str,
    /// Immediate access in an emergency, if you may have it.
    break_glass: Option<OfferedBreakGlassView>,
}

/// How long access may last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OfferedDuration)]
pub(crate) struct OfferedDurationView {
    /// When you name none.
    default: String,
    /// The longest at once.
    max: String,
    /// The longest with all extensions.
    max_total: String,
}

/// What the reason must look like.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReasonTerms)]
pub(crate) struct ReasonView {
    required: bool,
    /// In characters.
    min_length: u16,
    /// In characters.
    max_length: usize,
}

/// What the ticket must look like.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TicketTerms)]
pub(crate) struct TicketView {
    required: bool,
    /// A regular expression that the whole ticket must match.
    pattern: Option<String>,
}

/// What one grant may be used for. `null` is no limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limits)]
pub(crate) struct LimitsView {
    requests: Option<u64>,
    bytes: Option<u64>,
    concurrent: Option<u32>,
    active_per_person: Option<u32>,
}

/// Immediate access in an emergency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OfferedBreakGlass)]
pub(crate) struct OfferedBreakGlassView {
    /// The longest that it may last.
    max: String,
    /// Another person must have looked into it within this.
    review_within: String,
    /// How strongly you must have signed in.
    mfa: Option<MfaView>,
}

impl From<&Offer> for OfferView {
    fn from(offer: &Offer) -> Self {
        let terms = &offer.terms;
        Self {
            resource: text(&offer.resource.name),
            definition: (&offer.resource).into(),
            policy: text(&terms.policy),
            duration: OfferedDurationView {
                default: text(terms.duration.default),
                max: text(terms.duration.max),
                max_total: text(terms.duration.max_total),
            },
            pending_timeout: text(terms.pending_timeout),
            use_within: terms.use_within.map(text),
            idle_timeout: terms.idle_timeout.map(text),
            reason: ReasonView {
                required: terms.reason.required,
                min_length: terms.reason.min_length,
                max_length: REASON_MAX,
            },
            ticket: TicketView {
                required: terms.ticket.required,
                pattern: terms.ticket.pattern.clone(),
            },
            mfa: terms.mfa.as_ref().map(Into::into),
            limits: LimitsView {
                requests: terms.limits.requests,
                bytes: terms.limits.bytes,
                concurrent: terms.limits.concurrent,
                active_per_person: terms.limits.active_per_person,
            },
            stages: terms.stages.iter().map(Into::into).collect(),
            automatic: match (terms.automatic.always, terms.automatic.rules.is_empty()) {
                (true, _) => "always",
                (false, false) => "sometimes",
                (false, true) => "never",
            },
            break_glass: (terms.break_glass.as_ref())
                .filter(|_| offer.break_glass)
                .map(|terms| OfferedBreakGlassView {
                    max: text(terms.max),
                    review_within: text(terms.review_within),
                    mfa: terms.mfa.as_ref().map(Into::into),
                }),
        }
    }
}

/// List what you may ask for, and who could approve it.
#[utoipa::path(
    get, path = "/v1/policies", tag = "me", operation_id = "list_policies",
    responses((status = 200, description = "All of it, on one page.", body = Page<OfferView>)))]
pub(crate) async fn policies(
    State(shared): State<Shared>,
    caller: Caller,
    params: Params,
) -> Result<Json<Page<OfferView>>, Problem> {
    let NoParams {} = params.read()?;
    let offers = shared.broker.offers(&caller.actor);
    Ok(Json(Page {
        items: offers.iter().map(Into::into).collect(),
        next: None,
    }))
}

/// Read this document. It says nothing about the installation, so anyone may.
#[utoipa::path(
    get, path = "/openapi.json", tag = "me", operation_id = "read_openapi", security(()),
    responses((status = 200, description = "OpenAPI.", content_type = "application/json")))]
pub(crate) async fn openapi(State(shared): State<Shared>) -> Response {
    ([(CONTENT_TYPE, "application/json")], shared.openapi.clone()).into_response()
}
