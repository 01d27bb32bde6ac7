//! Where the record goes: Postgres, or a hash-chained file for a single user. etcd is the truth, the store is its mirror.
//!
//! Everything here may be called again with the same rows: what is already there is compared, and a difference is an error that is
//! never passed over. It must never panic, hang, or lose what it has acknowledged. Called by the loop's relay and by `main`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use firewatch_core::agents::model::budget::{Amount, Micros, Scope, Settled};
use firewatch_core::api::status::OutboxEntry;
use firewatch_core::report::{ApprovalRow, AuditRow, CommandRow, IncidentMeta, MessageRow, Story};
use firewatch_core::sandbox::evidence::Evidence;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub mod audit;
pub mod error;
pub mod file;
pub mod outbox;
pub mod postgres;
mod schema;

pub use error::StoreError;
pub use schema::{OPERATOR_ROLE, migrate};

/// What a sink's operations give.
pub type Stored<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// What one model call may cost, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Unique among all calls.
    pub call_id: String,
    /// Which incident's.
    pub incident_uid: String,
    /// Which namespace's.
    pub namespace: String,
    /// Which day's, as `2026-03-01`, in UTC.
    pub day: String,
    /// The most that it may come to.
    pub amount: Amount,
}

/// What came of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The call may be made.
    Granted,
    /// That account cannot bear it.
    Spent(Scope),
    /// Nobody keeps budgets here.
    NoBudgets,
}

/// One model call, as it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCallRow {
    /// Unique within the incident.
    pub id: String,
    /// For which agent.
    pub role: String,
    /// Which model.
    pub model: String,
    /// `succeeded`, or the closed reason.
    pub state: String,
    /// Of everything that was sent.
    pub request_digest: String,
    /// Of what came back.
    pub response_digest: Option<String>,
    /// Sent.
    pub prompt_tokens: u64,
    /// Received.
    pub completion_tokens: u64,
    /// What it cost.
    pub cost: Micros,
    /// RFC 3339.
    pub started_at: String,
    /// Milliseconds.
    pub duration_ms: Option<i64>,
}

/// Where the record goes.
pub trait AuditSink: Send + Sync + 'static {
    /// Stores transitions in order, with the records that belong to them (by digest); returns the highest stored sequence.
    fn store_transitions<'a>(
        &'a self,
        incident: &'a IncidentMeta,
        entries: &'a [OutboxEntry],
        payloads: &'a [(String, serde_json::Value)],
    ) -> Stored<'a, i64>;
    /// Stores evidence with its output.
    fn store_evidence<'a>(&'a self, incident_uid: &'a str, evidence: &'a [Evidence]) -> Stored<'a, ()>;
    /// Stores what the agents said.
    fn store_messages<'a>(&'a self, incident_uid: &'a str, messages: &'a [MessageRow]) -> Stored<'a, ()>;
    /// Stores what was run.
    fn store_commands<'a>(&'a self, incident_uid: &'a str, commands: &'a [CommandRow]) -> Stored<'a, ()>;
    /// Stores an approval as it stands. A decision or claim that is stored is never replaced by another.
    fn store_approval<'a>(&'a self, incident_uid: &'a str, approval: &'a ApprovalRow) -> Stored<'a, ()>;
    /// Whether the approval of this uid is stored as decided by all who must. Execution waits for it.
    fn approval_stored<'a>(&'a self, approval_uid: &'a str) -> Stored<'a, bool>;
    /// Writes or renews the row for people's queries. Messages, commands and results are added to it from what is stored.
    fn upsert_audit_log<'a>(&'a self, row: &'a AuditRow) -> Stored<'a, ()>;
    /// The highest stored sequence of an incident, 0 for none.
    fn stored_sequence<'a>(&'a self, incident_uid: &'a str) -> Stored<'a, i64>;
    /// Everything that is stored of an incident; empty where nothing is.
    fn load_story<'a>(&'a self, incident_uid: &'a str) -> Stored<'a, Story>;
    /// The uids of all incidents of which anything is stored.
    fn incidents(&self) -> Stored<'_, Vec<String>>;
    /// Ids of the evidence whose output is not what its digest says.
    fn damaged_evidence<'a>(&'a self, incident_uid: &'a str) -> Stored<'a, Vec<String>>;
    /// Reserves what a model call may cost, before it is made. A sink that keeps no budgets grants nothing.
    fn reserve_call<'a>(&'a self, _of: &'a Reservation, _limits: &'a BTreeMap<Scope, Amount>) -> Stored<'a, Reserved> {
        Box::pin(async { Ok(Reserved::NoBudgets) })
    }
    /// Notes what a model call came to.
    fn settle_call<'a>(
        &'a self,
        _of: &'a Reservation,
        _spent: Amount,
        _limits: &'a BTreeMap<Scope, Amount>,
    ) -> Stored<'a, Settled> {
        Box::pin(async { Ok(Settled::default()) })
    }
    /// Stores a model call as it ended.
    fn store_model_call<'a>(&'a self, _incident_uid: &'a str, _row: &'a ModelCallRow) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    /// The outbox of notifications, where this sink keeps one.
    fn outbox(&self) -> Option<&dyn outbox::Outbox> {
        None
    }
    /// Whether rows can be stored now; the reason where not.
    fn ping(&self) -> Stored<'_, ()>;
    /// What this sink is, for people.
    fn describe(&self) -> String;
}

/// The sink that the flags ask for; none where they ask for nothing. A database that is down or not migrated is no error here: the
/// loop runs, executes nothing, and says why, until it is there.
#[allow(
    clippy::unused_async,
    reason = "callers await it; a sink may need to look before it opens"
)]
pub async fn open(
    database_url: Option<&str>,
    audit: Option<&str>,
    audit_file: &Path,
) -> Result<Option<Arc<dyn AuditSink>>, StoreError> {
    if let Some(url) = database_url {
        return Ok(Some(Arc::new(postgres::PostgresSink::connect(url)?)));
    }
    if audit == Some("file") {
        return Ok(Some(Arc::new(file::FileSink::open(audit_file)?)));
    }
    Ok(None)
}
