//! Carries what is in an incident's outbox to the store, with the records that belong to it, and remembers how far it came; the
//! next status write then takes the stored entries out. Idempotent: whatever is sent twice is stored once.
//!
//! It must never hold the loop up: a store that does not answer is left alone for a few seconds. Called by `reconcile`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use firewatch_core::api::approval::RemediationApproval;
use firewatch_core::api::status::{JobPurpose, OutboxEntry};
use firewatch_core::api::{Incident, Phase};
use firewatch_core::incident::Reason;
use firewatch_core::report::{ApprovalRow, AuditRow, CommandRow, IncidentMeta, MessageRow};
use firewatch_core::sandbox::command::Lane;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::context::Context;
use super::payload::{self, Record};
use crate::store::StoreError;
use crate::telemetry::events;

/// What is known of one incident's record.
#[derive(Clone, Debug, Default)]
pub struct Relayed {
    /// Highest stored sequence.
    pub stored: i64,
    /// Why nothing could be stored at the last try: the store's closed reason, and what it says.
    pub fault: Option<(String, String)>,
    /// When to try again after a fault.
    pub retry_at: Option<Instant>,
    /// uids of approvals whose decision is stored.
    pub approvals: Vec<String>,
    /// Since when it is tried to store what the incident, once deleted, has in its outbox.
    pub storing_since: Option<Timestamp>,
    /// Whether the incident is over, stored and cleaned.
    pub at_rest: bool,
}

/// How long a store that did not answer is left alone.
const PAUSE: Duration = Duration::from_secs(3);

impl Context {
    /// Highest stored sequence of an incident, as far as this process knows.
    pub async fn stored_sequence(&self, uid: &str) -> i64 {
        self.relayed.lock().await.get(uid).map_or(0, |r| r.stored)
    }

    /// Why nothing could be stored at the last try.
    pub async fn audit_fault(&self, uid: &str) -> Option<(String, String)> {
        self.relayed.lock().await.get(uid).and_then(|r| r.fault.clone())
    }

    /// Since when it is tried to store what a deleted incident has in its outbox.
    pub async fn storing_since(&self, uid: &str) -> Option<Timestamp> {
        self.relayed.lock().await.get(uid).and_then(|r| r.storing_since)
    }

    /// Whether nothing is left to do.
    pub async fn is_at_rest(&self, uid: &str) -> bool {
        self.relayed.lock().await.get(uid).is_some_and(|r| r.at_rest)
    }

    /// Notes that nothing is left to do.
    pub async fn rest(&self, uid: &str) {
        self.relayed.lock().await.entry(uid.to_owned()).or_default().at_rest = true;
    }

    /// The incident is gone.
    pub async fn forget(&self, uid: &str) {
        self.relayed.lock().await.remove(uid);
    }

    async fn may_try(&self, uid: &str) -> bool {
        self.relayed
            .lock()
            .await
            .get(uid)
            .and_then(|r| r.retry_at)
            .is_none_or(|at| at <= Instant::now())
    }

    /// Remembers how it went. A fault that begins, or becomes another, is told once: in the log and as an event.
    async fn note<T>(&self, incident: &Incident, uid: &str, result: Result<T, StoreError>) -> Option<T> {
        let error = match result {
            Ok(value) => {
                let mut relayed = self.relayed.lock().await;
                let known = relayed.entry(uid.to_owned()).or_default();
                known.fault = None;
                known.retry_at = None;
                return Some(value);
            }
            Err(error) => error,
        };
        let (reason, message) = (error.reason().to_owned(), error.to_string());
        let begins = {
            let mut relayed = self.relayed.lock().await;
            let known = relayed.entry(uid.to_owned()).or_default();
            let begins = known.fault.as_ref().is_none_or(|(was, _)| *was != reason);
            known.fault = Some((reason.clone(), message.clone()));
            known.retry_at = Instant::now().checked_add(PAUSE);
            begins
        };
        if begins {
            tracing::warn!(
                incident_uid = uid,
                reason,
                message,
                "the record could not be stored; it waits in the outbox"
            );
            events::note(&self.recorder, incident, true, &reason, "Record", &message).await;
        }
        None
    }
}

/// Sends what is not stored yet.
pub async fn relay(ctx: &Context, incident: &Incident) {
    let Some(uid) = incident.uid() else { return };
    let Some(status) = &incident.status else { return };
    let stored = ctx.stored_sequence(&uid).await;
    if status.outbox.iter().all(|e| e.sequence <= stored) {
        return;
    }
    if incident.metadata.deletion_timestamp.is_some() {
        let mut relayed = ctx.relayed.lock().await;
        let known = relayed.entry(uid.clone()).or_default();
        known.storing_since = known.storing_since.or(Some(Timestamp::now()));
    }
    if !ctx.may_try(&uid).await {
        return;
    }
    let sent = send(ctx, incident, stored).await;
    if let Some(highest) = ctx.note(incident, &uid, sent).await
        && let Some(known) = ctx.relayed.lock().await.get_mut(&uid)
    {
        known.stored = known.stored.max(highest);
    }
}

/// What belongs to a transition is stored before it: a stored sequence means that everything up to it is there.
async fn send(ctx: &Context, incident: &Incident, stored: i64) -> Result<i64, StoreError> {
    let meta = IncidentMeta::of(incident);
    let status = incident.status.clone().unwrap_or_default();
    let entries: Vec<_> = status.outbox.iter().filter(|e| e.sequence > stored).cloned().collect();
    let mut payloads = Vec::new();
    for entry in &entries {
        let Some(name) = &entry.payload else { continue };
        let Some(record) = kept(ctx, &meta, entry, name).await? else {
            continue;
        };
        // What a step rests on may be a record of its own; the step's holds its digest, and so does the chain.
        if let Some(collected) = &record.collected
            && let Some(gathered) = kept(ctx, &meta, entry, &collected.config_map).await?
        {
            send_evidence(ctx, &meta, &gathered).await?;
            payloads.push((collected.digest.clone(), json(&gathered)?));
        }
        send_evidence(ctx, &meta, &record).await?;
        let finished = [
            Reason::ExecutionFinished,
            Reason::ExecutionFailed,
            Reason::RollbackFinished,
        ]
        .iter()
        .any(|r| r.as_ref() == entry.reason);
        if finished && !record.lines.is_empty() {
            let rolled_back =
                entry.from == Phase::RollingBack && status.jobs.iter().any(|j| j.purpose == JobPurpose::Rollback);
            let (execution, lane) = if rolled_back {
                (&status.rollback, Lane::Rollback)
            } else {
                (&status.execution, Lane::Remediate)
            };
            let commands: Vec<CommandRow> = execution
                .iter()
                .flat_map(|e| CommandRow::of_execution(e, lane))
                .collect();
            ctx.sink.store_commands(&meta.uid, &commands).await?;
        }
        let messages = MessageRow::of_transition(entry.sequence, entry.at.0, &record.messages);
        if !messages.is_empty() {
            ctx.sink.store_messages(&meta.uid, &messages).await?;
        }
        if let Some(row) = record.call.as_ref().and_then(payload::ModelCall::row) {
            ctx.sink.store_model_call(&meta.uid, &row).await?;
        }
        payloads.push((entry.payload_digest.clone(), json(&record)?));
    }
    if let Some(notifier) = &ctx.notifier {
        notifier
            .enqueue(ctx.sink.as_ref(), &ctx.metrics, incident, &entries)
            .await?;
    }
    let highest = ctx.sink.store_transitions(&meta, &entries, &payloads).await?;
    ctx.sink.upsert_audit_log(&AuditRow::of(incident)).await?;
    Ok(highest)
}

/// A record that waits to be stored. One that is gone is said loudly; the transition is stored, with its digest in the chain.
async fn kept(
    ctx: &Context,
    meta: &IncidentMeta,
    entry: &OutboxEntry,
    name: &str,
) -> Result<Option<Arc<Record>>, StoreError> {
    let found = payload::find(ctx, name)
        .await
        .map_err(|error| StoreError::InvalidRow(format!("record {name} cannot be read: {error}")))?;
    if found.is_none() {
        tracing::error!(incident_uid = %meta.uid, sequence = entry.sequence, record = %name, reason = "RecordMissing", "a record was deleted before it was stored");
    }
    Ok(found)
}

/// The evidence of a record, and the commands that brought it.
async fn send_evidence(ctx: &Context, meta: &IncidentMeta, record: &Record) -> Result<(), StoreError> {
    if record.evidence.is_empty() {
        return Ok(());
    }
    ctx.sink.store_evidence(&meta.uid, &record.evidence).await?;
    let commands: Vec<CommandRow> = record.evidence.iter().map(CommandRow::of_evidence).collect();
    ctx.sink.store_commands(&meta.uid, &commands).await
}

fn json(record: &Record) -> Result<serde_json::Value, StoreError> {
    serde_json::to_value(record).map_err(|e| StoreError::InvalidRow(e.to_string()))
}

/// Stores an approval as it was decided, and says whether it is stored.
pub async fn approval_stored(ctx: &Context, incident: &Incident, approval: &RemediationApproval) -> bool {
    let (Some(uid), Some(approval_uid)) = (incident.uid(), approval.uid()) else {
        return false;
    };
    let known = ctx
        .relayed
        .lock()
        .await
        .get(&uid)
        .is_some_and(|r| r.approvals.contains(&approval_uid));
    if known {
        return true;
    }
    if !ctx.may_try(&uid).await {
        return false;
    }
    let row = ApprovalRow::of(approval);
    let stored = async {
        ctx.sink.store_approval(&uid, &row).await?;
        ctx.sink.approval_stored(&approval_uid).await
    };
    let stored = stored.await;
    let stored = ctx.note(incident, &uid, stored).await.unwrap_or(false);
    if stored && let Some(known) = ctx.relayed.lock().await.get_mut(&uid) {
        known.approvals.push(approval_uid);
    }
    stored
}

/// Writes the last row of an incident that is over, with its approval as it ended. True when everything is stored.
pub async fn conclude(ctx: &Context, incident: &Incident) -> bool {
    let Some(uid) = incident.uid() else { return false };
    if !ctx.may_try(&uid).await {
        return false;
    }
    let approval = match &incident.status.as_ref().and_then(|s| s.approval_ref.clone()) {
        Some(reference) => {
            let api: kube::Api<RemediationApproval> =
                kube::Api::namespaced(ctx.client.clone(), &incident.namespace().unwrap_or_default());
            api.get_opt(&reference.name)
                .await
                .ok()
                .flatten()
                .filter(|a| a.uid().as_deref() == Some(reference.uid.as_str()))
        }
        None => None,
    };
    let written = async {
        if let Some(approval) = &approval {
            ctx.sink.store_approval(&uid, &ApprovalRow::of(approval)).await?;
        }
        ctx.sink.upsert_audit_log(&AuditRow::of(incident)).await
    };
    let written = written.await;
    ctx.note(incident, &uid, written).await.is_some()
}
