//! Lists that come in pages.

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, parsed};
use super::exit::Failure;

/// Most on one page of the API's.
const PAGE_MAX: usize = 1000;
/// Most pages: each can be empty and still name a next one.
const PAGES_MAX: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next: Option<String>,
}

/// The first `limit` items of a list, and whether there are more.
pub(super) async fn read(
    client: &Client,
    path: &str,
    query: &[(&str, String)],
    limit: usize,
) -> Result<(Vec<Value>, bool), Failure> {
    read_after(client, path, query, None, limit).await
}

/// The same, from after a place in the list.
pub(super) async fn read_after(
    client: &Client,
    path: &str,
    query: &[(&str, String)],
    mut after: Option<String>,
    limit: usize,
) -> Result<(Vec<Value>, bool), Failure> {
    let mut items = Vec::new();
    for _ in 0..PAGES_MAX {
        let mut query = query.to_vec();
        query.push(("limit", (limit - items.len()).clamp(1, PAGE_MAX).to_string()));
        query.extend(after.take().map(|after| ("after", after)));
        let page: Page = parsed(&client.get(path, &query).await?)?;
        items.extend(page.items);
        if items.len() >= limit {
            let more = page.next.is_some() || items.len() > limit;
            items.truncate(limit);
            return Ok((items, more));
        }
        let Some(next) = page.next else {
            return Ok((items, false));
        };
        after = Some(next);
    }
    Err(Failure::failed(format!(
        "{path} has more than {PAGES_MAX} pages; ask for less"
    )))
}

/// A list in JSON, as the API would answer it on one page.
pub(super) fn json(items: &[Value]) -> Value {
    json!({ "items": items })
}

/// Items as what they should be.
pub(super) fn items<T: for<'de> Deserialize<'de>>(items: &[Value]) -> Result<Vec<T>, Failure> {
    items.iter().map(parsed).collect()
}
