//! A panic in the writer. What can be made to panic there from outside is the program's own log.

use std::fmt::Debug;

use jit_core::broker::store::{Store, StoreError};
use jit_store_sqlite::SqliteStore;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::folder;
use super::promises::{batch, log, outsider};

/// The name of the one file whose warnings panic: other tests share this log.
const BAD: &str = "panics.db";

struct BadLog;

impl Subscriber for BadLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("jit_store_sqlite")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut BadPath);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct BadPath;

impl Visit for BadPath {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        assert!(
            field.name() != "path" || !format!("{value:?}").ends_with(BAD),
            "as planned"
        );
    }
}

#[tokio::test]
async fn a_panic_of_the_writer_is_a_failed_commit_and_the_next_one_succeeds() {
    tracing::subscriber::set_global_default(BadLog).unwrap();
    let folder = folder().await;
    let path = folder.path().join(BAD);
    let store = SqliteStore::open(&path).await.unwrap();
    store.append(batch(0, "{}")).await.unwrap();
    // The writer warns of this inside its transaction.
    outsider(&path, "INSERT INTO cells VALUES ('cell', 1, '')")
        .await
        .unwrap();
    match store.append(batch(1, "{}")).await {
        Err(error @ StoreError::Unavailable { .. }) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let told = source.unwrap_or_default();
            assert!(told.contains("the writer panicked"), "{error}: {told}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(log(&store).await.len(), 1);
    store.append(batch(1, "{}")).await.unwrap();
    assert_eq!(log(&store).await.len(), 2);
    store.close().await;
}
