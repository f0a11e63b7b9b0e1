//! The schema, step by step. Each step is one transaction together with the note that it was done.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqliteConnection};

use crate::error::OpenError;

/// Steps are only ever added: a file notes the hash of each step it has seen.
const STEPS: [(i64, &str, &str); 3] = [
    (1, "store", include_str!("../migrations/1_store.sql")),
    (2, "room", include_str!("../migrations/2_room.sql")),
    (3, "passkeys", include_str!("../migrations/3_passkeys.sql")),
];

fn migrator() -> Migrator {
    let steps = STEPS.map(|(version, name, sql)| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    let mut migrator = Migrator::with_migrations(steps.into());
    // The usual name may be taken by the program that this store is embedded in.
    migrator.dangerous_set_table_name("_jit_migrations");
    migrator
}

/// Refuses a file that another program made tables in.
pub(crate) async fn require_own(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let (tables, ours): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE name = '_jit_migrations') FROM sqlite_schema",
    )
    .fetch_one(connection)
    .await?;
    if tables > 0 && ours == 0 {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Brings the schema up to date, and refuses one from a newer version or of another program.
pub(crate) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    require_own(connection, path).await?;
    let known = STEPS
        .iter()
        .map(|(version, ..)| *version)
        .max()
        .unwrap_or_default();
    migrator().run(connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) => OpenError::NewerSchema {
            path: path.to_owned(),
            found,
            known,
        },
        other => OpenError::Migration {
            path: path.to_owned(),
            source: other.into(),
        },
    })
}
