//! The record in Postgres. A small pool with short timeouts: a database that is down or slow costs the loop seconds, never its life.
//!
//! The schema is looked at before the first use and again whenever it turns out to be another; until it is right nothing is written.
//! Called through `AuditSink`.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use firewatch_core::agents::model::budget::{Amount, Scope, Settled};
use firewatch_core::api::status::OutboxEntry;
use firewatch_core::report::{ApprovalRow, AuditRow, CommandRow, IncidentMeta, MessageRow, Story};
use firewatch_core::sandbox::evidence::Evidence;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use uuid::Uuid;

use super::error::StoreError;
use super::{AuditSink, ModelCallRow, Reservation, Reserved, Stored, schema};

mod approvals;
mod audit_logs;
mod outbox;
mod read;
mod rows;
mod spend;
mod write;

pub(super) use write::check_entry;

/// The operator writes one incident's rows at a time and seldom many incidents' at once.
const CONNECTIONS: u32 = 4;
/// How long a caller waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(2);
/// How long Postgres works on one statement before it gives up.
const STATEMENT: Duration = Duration::from_secs(5);
/// How long one operation may take in all, should the network swallow everything.
const OPERATION: Duration = Duration::from_secs(15);

/// The record in Postgres.
#[derive(Debug)]
pub struct PostgresSink {
    pool: PgPool,
    schema_checked: AtomicBool,
    place: String,
}

/// Connection options from a URL. Says nothing of what the URL holds where it cannot be read: it may hold a password.
pub(super) fn options(url: &str, statement: Duration) -> Result<PgConnectOptions, StoreError> {
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return Err(StoreError::InvalidUrl);
    }
    let options: PgConnectOptions = url.parse().map_err(|_| StoreError::InvalidUrl)?;
    let statement = statement.as_millis().to_string();
    Ok(options.application_name("firewatch").options([
        ("statement_timeout", statement.as_str()),
        ("lock_timeout", statement.as_str()),
        ("timezone", "UTC"),
    ]))
}

impl PostgresSink {
    /// A sink that connects when it is first used.
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        let options = options(url, STATEMENT)?;
        let place = format!(
            "{}:{}/{}",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or("?")
        );
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .min_connections(0)
            .acquire_timeout(ACQUIRE)
            .idle_timeout(Duration::from_mins(1))
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            schema_checked: AtomicBool::new(false),
            place,
        })
    }

    /// Closes all connections; whoever uses the sink afterwards is told that it is unreachable.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs one operation: the schema is right before it begins, and it ends in time.
    async fn bounded<T>(&self, operation: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        let result = tokio::time::timeout(OPERATION, async {
            if !self.schema_checked.load(Ordering::Relaxed) {
                schema::check(&self.pool).await?;
                self.schema_checked.store(true, Ordering::Relaxed);
            }
            operation.await
        })
        .await
        .unwrap_or_else(|_| Err(StoreError::DatabaseUnreachable("no answer in time".to_owned())));
        if matches!(result, Err(StoreError::SchemaOutdated { .. })) {
            self.schema_checked.store(false, Ordering::Relaxed);
        }
        result
    }
}

fn uuid(text: &str) -> Result<Uuid, StoreError> {
    Uuid::parse_str(text).map_err(|_| StoreError::InvalidRow(format!("uid {text:?} is not a UUID")))
}

impl AuditSink for PostgresSink {
    fn store_transitions<'a>(
        &'a self,
        incident: &'a IncidentMeta,
        entries: &'a [OutboxEntry],
        payloads: &'a [(String, serde_json::Value)],
    ) -> Stored<'a, i64> {
        Box::pin(self.bounded(write::transitions(&self.pool, incident, entries, payloads)))
    }

    fn store_evidence<'a>(&'a self, incident_uid: &'a str, evidence: &'a [Evidence]) -> Stored<'a, ()> {
        Box::pin(self.bounded(write::evidence(&self.pool, incident_uid, evidence)))
    }

    fn store_messages<'a>(&'a self, incident_uid: &'a str, messages: &'a [MessageRow]) -> Stored<'a, ()> {
        Box::pin(self.bounded(write::messages(&self.pool, incident_uid, messages)))
    }

    fn store_commands<'a>(&'a self, incident_uid: &'a str, commands: &'a [CommandRow]) -> Stored<'a, ()> {
        Box::pin(self.bounded(write::commands(&self.pool, incident_uid, commands)))
    }

    fn store_approval<'a>(&'a self, incident_uid: &'a str, approval: &'a ApprovalRow) -> Stored<'a, ()> {
        Box::pin(self.bounded(approvals::store(&self.pool, incident_uid, approval)))
    }

    fn approval_stored<'a>(&'a self, approval_uid: &'a str) -> Stored<'a, bool> {
        Box::pin(self.bounded(approvals::is_stored(&self.pool, approval_uid)))
    }

    fn upsert_audit_log<'a>(&'a self, row: &'a AuditRow) -> Stored<'a, ()> {
        Box::pin(self.bounded(audit_logs::upsert(&self.pool, row)))
    }

    fn stored_sequence<'a>(&'a self, incident_uid: &'a str) -> Stored<'a, i64> {
        Box::pin(self.bounded(read::stored_sequence(&self.pool, incident_uid)))
    }

    fn load_story<'a>(&'a self, incident_uid: &'a str) -> Stored<'a, Story> {
        Box::pin(self.bounded(read::story(&self.pool, incident_uid)))
    }

    fn incidents(&self) -> Stored<'_, Vec<String>> {
        Box::pin(self.bounded(read::incidents(&self.pool)))
    }

    fn damaged_evidence<'a>(&'a self, incident_uid: &'a str) -> Stored<'a, Vec<String>> {
        Box::pin(self.bounded(read::damaged_evidence(&self.pool, incident_uid)))
    }

    fn reserve_call<'a>(&'a self, of: &'a Reservation, limits: &'a BTreeMap<Scope, Amount>) -> Stored<'a, Reserved> {
        Box::pin(self.bounded(spend::reserve_call(&self.pool, of, limits)))
    }

    fn settle_call<'a>(
        &'a self,
        of: &'a Reservation,
        spent: Amount,
        limits: &'a BTreeMap<Scope, Amount>,
    ) -> Stored<'a, Settled> {
        Box::pin(self.bounded(spend::settle_call(&self.pool, of, spent, limits)))
    }

    fn store_model_call<'a>(&'a self, incident_uid: &'a str, row: &'a ModelCallRow) -> Stored<'a, ()> {
        Box::pin(self.bounded(spend::model_call(&self.pool, incident_uid, row)))
    }

    fn outbox(&self) -> Option<&dyn super::outbox::Outbox> {
        Some(self)
    }

    fn ping(&self) -> Stored<'_, ()> {
        Box::pin(async {
            self.schema_checked.store(false, Ordering::Relaxed);
            self.bounded(read::may_write(&self.pool)).await
        })
    }

    fn describe(&self) -> String {
        format!("Postgres at {}", self.place)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_url_that_cannot_be_read_is_refused_without_being_repeated() {
        for url in ["", "mysql://u:hunter2@h/d", "postgres://u:hunter2@h:port/d"] {
            let error = PostgresSink::connect(url).unwrap_err();
            assert_eq!(error.reason(), "InvalidUrl", "{url}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[tokio::test]
    async fn a_description_names_the_place_and_no_password() {
        let sink = PostgresSink::connect("postgres://u:hunter2@db.example:5433/firewatch").unwrap();
        assert_eq!(sink.describe(), "Postgres at db.example:5433/firewatch");
    }
}
