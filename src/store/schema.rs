//! The database's schema: what this binary brings, what the database has, and how the one becomes the other. `migrate` runs under the
//! role that owns the tables; the operator only looks. Called by `main` (migrate) and by `postgres` (check).

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPool;
use sqlx::{Connection, PgConnection};

use super::error::StoreError;
use super::postgres::options;

static MIGRATOR: Migrator = sqlx::migrate!("src/store/migrations");
/// Run after the migrations, every time: the role may be younger than they are.
const GRANTS: &str = include_str!("grants.sql");
/// The role under which the operator writes: `firewatch migrate` grants it what it needs and no more.
pub const OPERATOR_ROLE: &str = "firewatch";
/// Migrations of a large table may take long; a server that does not answer at all must not.
const CONNECT: Duration = Duration::from_secs(10);

/// Highest migration that this binary brings.
pub(super) fn needed() -> i64 {
    MIGRATOR.iter().map(|m| m.version).max().unwrap_or(0)
}

/// Brings the schema up to date and grants the operator's role its rights. May be run again; two at once wait for each other.
pub async fn migrate(url: &str) -> Result<(), StoreError> {
    let options = options(url, Duration::from_mins(10))?;
    let mut connection = tokio::time::timeout(CONNECT, PgConnection::connect_with(&options))
        .await
        .map_err(|_| StoreError::DatabaseUnreachable("no connection in time".to_owned()))??;
    MIGRATOR
        .run_direct(None, &mut connection, false)
        .await
        .map_err(refused)?;
    sqlx::raw_sql(GRANTS).execute(&mut connection).await?;
    tracing::info!(version = needed(), "the database's schema is up to date");
    Ok(())
}

fn refused(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        MigrateError::Dirty(version) => StoreError::SchemaHalfMigrated(version),
        MigrateError::VersionMismatch(version) => StoreError::SchemaAltered(version),
        MigrateError::VersionMissing(found) | MigrateError::VersionTooNew(found, _) => {
            StoreError::SchemaTooNew { found, known: needed() }
        }
        other => StoreError::DatabaseError(other.to_string()),
    }
}

/// Whether the schema is the one that this binary writes to.
pub(super) async fn check(pool: &PgPool) -> Result<(), StoreError> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(pool)
        .await?;
    let applied: Vec<(i64, bool, Vec<u8>)> = if exists {
        sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(pool)
            .await?
    } else {
        Vec::new()
    };
    let found = applied.iter().map(|(version, ..)| *version).max().unwrap_or(0);
    if let Some((version, ..)) = applied.iter().find(|(_, success, _)| !success) {
        return Err(StoreError::SchemaHalfMigrated(*version));
    }
    let have: BTreeMap<i64, &[u8]> = applied
        .iter()
        .map(|(version, _, sum)| (*version, sum.as_slice()))
        .collect();
    for migration in MIGRATOR.iter() {
        match have.get(&migration.version) {
            None => {
                return Err(StoreError::SchemaOutdated {
                    found,
                    needed: needed(),
                });
            }
            Some(sum) if *sum != migration.checksum.as_ref() => {
                return Err(StoreError::SchemaAltered(migration.version));
            }
            Some(_) => {}
        }
    }
    if found > needed() {
        return Err(StoreError::SchemaTooNew { found, known: needed() });
    }
    Ok(())
}
