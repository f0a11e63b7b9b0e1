//! SQLite keeps every law of a store, and its own promises.

mod outsiders;
mod panics;
mod promises;
mod upgrades;

use std::sync::Arc;

use jit_core::broker::store::Store;
use jit_store_sqlite::SqliteStore;
use tempfile::TempDir;

async fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn open(folder: &TempDir) -> SqliteStore {
    SqliteStore::open(folder.path().join("jit.db")).await.unwrap()
}

async fn close(store: SqliteStore) {
    store.close().await;
}

mod store {
    use super::*;

    async fn sqlite() -> (TempDir, Arc<dyn Store>) {
        let folder = folder().await;
        let store = open(&folder).await;
        (folder, Arc::new(store))
    }

    jit_core::store_laws!(sqlite);
}

mod durable {
    use super::*;

    jit_core::durable_store_laws!(folder, open, close);
}
