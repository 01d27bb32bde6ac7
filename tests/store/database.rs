//! A database for one test, on the real Postgres of MIGRATE_DATABASE_URL: made before it, dropped after it, however it ends.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use firewatch::store::postgres::PostgresSink;
use firewatch::store::{StoreError, migrate};
use futures::FutureExt;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// One test's own database.
pub struct Database {
    name: String,
}

fn url(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run `make test-component`, which starts a Postgres"))
}

/// The URL of another database on the same server.
fn elsewhere(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("a URL with a database");
    format!("{server}/{database}")
}

impl Database {
    /// URL of the role that owns the schema.
    pub fn owner_url(&self) -> String {
        elsewhere(&url("MIGRATE_DATABASE_URL"), &self.name)
    }

    /// URL of the role under which the operator runs.
    pub fn operator_url(&self) -> String {
        elsewhere(&url("DATABASE_URL"), &self.name)
    }

    /// The sink that the operator would use.
    pub fn sink(&self) -> PostgresSink {
        PostgresSink::connect(&self.operator_url()).expect("a URL that can be read")
    }

    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrate(&self.owner_url()).await
    }

    pub async fn owner(&self) -> PgConnection {
        PgConnection::connect(&self.owner_url())
            .await
            .expect("the owner connects")
    }

    pub async fn operator(&self) -> PgConnection {
        PgConnection::connect(&self.operator_url())
            .await
            .expect("the operator connects")
    }

    /// Runs statements as the owner: somebody with all rights, tampering.
    pub async fn as_owner(&self, statements: &str) {
        let mut owner = self.owner().await;
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
            .execute(&mut owner)
            .await
            .expect("the owner may do anything");
    }
}

async fn server(statement: String) {
    let mut admin = PgConnection::connect(&url("MIGRATE_DATABASE_URL"))
        .await
        .expect("Postgres is up");
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut admin)
        .await
        .expect("the migrating role may create databases");
}

/// An empty database, without schema.
pub async fn with_empty_database(test: impl AsyncFnOnce(&Database)) {
    let name = format!(
        "firewatch_test_{}_{}",
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    );
    server(format!("CREATE DATABASE {name}")).await;
    let database = Database { name };
    let ended = AssertUnwindSafe(test(&database)).catch_unwind().await;
    // Postgres itself waits a few seconds for connections that are just closing.
    server(format!("DROP DATABASE {}", database.name)).await;
    if let Err(panic) = ended {
        resume_unwind(panic);
    }
}

/// A database with the present schema.
pub async fn with_database(test: impl AsyncFnOnce(&Database)) {
    with_empty_database(async |database| {
        database.migrate().await.expect("migrations apply to an empty database");
        test(database).await;
    })
    .await;
}
