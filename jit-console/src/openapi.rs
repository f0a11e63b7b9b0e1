//! The OpenAPI document: collected from the handlers, completed with what all of them share.

use bytes::Bytes;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, Ref, ResponseBuilder, Server};
use utoipa::{Modify, OpenApi};

use crate::problem::ProblemBody;
use crate::routes::{events, grants, interactions, lockdowns, me, passkeys, requests, reviews, step_up};
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
        requests::credential,
        requests::revoke,
        reviews::review,
        reviews::after_review,
        interactions::list,
        grants::list,
        lockdowns::list,
        lockdowns::declare,
        lockdowns::lift,
        passkeys::clear,
        events::list,
        me::policies,
        me::me,
        step_up::step_up,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::routes::endpoints;

    fn served() -> Value {
        serde_json::from_slice(&json(&ApiSettings::default())).unwrap()
    }

    fn operations(document: &Value) -> Vec<(String, String, Value)> {
        let paths = document["paths"].as_object().unwrap();
        let each = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation.clone()))
        });
        each.collect()
    }

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let routed: BTreeSet<_> = endpoints()
            .into_iter()
            .map(|e| (e.method.to_string(), e.path.to_owned()))
            .collect();
        let written: BTreeSet<_> = operations(&served())
            .into_iter()
            .map(|(method, path, _)| (method, path))
            .collect();
        assert_eq!(routed, written);
        assert_eq!(routed.len(), endpoints().len(), "a route is there twice");
    }

    #[test]
    fn every_operation_says_what_it_takes_and_answers() {
        let document = served();
        assert_eq!(document["servers"][0]["url"], "/_jit");
        for (method, path, operation) in operations(&document) {
            let name = format!("{method} {path}");
            assert!(
                operation["responses"]["default"]["content"]["application/problem+json"].is_object(),
                "{name}"
            );
            assert!(operation["summary"].is_string(), "{name}");
            assert_eq!(operation["requestBody"].is_object(), method == "POST", "{name}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let id = parameters
                .iter()
                .any(|p| p["name"] == "id" && p["in"] == "path" && p["required"] == true);
            assert_eq!(id, path.contains("{id}"), "{name}");
        }
    }

    #[test]
    fn operation_ids_are_unique() {
        let operations = operations(&served());
        let ids: BTreeSet<_> = operations
            .iter()
            .map(|(_, _, operation)| operation["operationId"].to_string())
            .collect();
        assert_eq!(ids.len(), operations.len(), "{ids:?}");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    members.values().for_each(|member| references(member, found));
                }
                Value::Array(entries) => entries.iter().for_each(|entry| references(entry, found)),
                _ => {}
            }
        }
        let document = served();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let target = reference
                .strip_prefix('#')
                .and_then(|pointer| document.pointer(pointer));
            assert!(target.is_some(), "{reference}");
        }
    }
}
