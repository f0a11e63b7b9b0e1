//! The OpenAPI document: collected from the handlers, completed with what all of them share.

use bytes::Bytes;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, Ref, ResponseBuilder, Server};
use utoipa::{Modify, OpenApi};

use crate::problem::ProblemBody;
use crate::routes::{events, grants, lockdowns, me, requests, reviews};
use crate::settings::ApiSettings;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Just-in-time access",
        description = "Ask for access, review what others ask for, take access back, and read the log of all of it.\n\n\
            Names are snake_case, times RFC 3339 in UTC, durations like `30m`, ids opaque. Bodies are JSON objects of at most 64 KiB; \
            unknown fields and parameters are refused. Lists are `{items, next}`. Whatever goes wrong is a problem (RFC 9457).",
    ),
    paths(
        requests::ask,
        requests::list,
        requests::one,
        requests::withdraw,
        requests::release,
        requests::revoke,
        reviews::review,
        reviews::after_review,
        grants::list,
        lockdowns::list,
        lockdowns::declare,
        lockdowns::lift,
        events::list,
        me::policies,
        me::me,
        me::openapi,
    ),
    components(schemas(ProblemBody)),
    security(("bearer" = [])),
    modifiers(&Common),
)]
struct Document;

/// The proof of identity that each operation takes, and the problem that each may answer with.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        document
            .components
            .get_or_insert_with(Components::new)
            .add_security_scheme("bearer", SecurityScheme::Http(bearer));
        for item in document.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                let problem = ContentBuilder::new()
                    .schema(Some(Ref::from_schema_name("Problem")))
                    .build();
                let response = ResponseBuilder::new()
                    .description("A problem: nothing was changed.")
                    .content("application/problem+json", problem)
                    .build();
                operation
                    .responses
                    .responses
                    .insert("default".to_owned(), response.into());
            }
        }
    }
}

fn document(settings: &ApiSettings) -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.servers = Some(vec![Server::new(settings.prefix())]);
    document
}

/// The document as it is served.
pub(crate) fn json(settings: &ApiSettings) -> Bytes {
    serde_json::to_vec(&document(settings)).unwrap_or_default().into()
}
