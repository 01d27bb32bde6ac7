//! What is only ever added: transitions, their records, messages, evidence, commands. Each row is inserted, read back and compared, so
//! that storing it again is harmless and storing another one in its place is loud.

use firewatch_core::api::status::OutboxEntry;
use firewatch_core::incident::chain;
use firewatch_core::report::{CommandRow, IncidentMeta, MessageRow};
use firewatch_core::sandbox::evidence::Evidence;
use serde_json::Value;
use sqlx::postgres::{PgPool, PgTransaction};
use sqlx::types::Json;
use uuid::Uuid;

use super::super::error::StoreError;
use super::{rows, uuid};

pub(super) async fn transitions(
    pool: &PgPool,
    incident: &IncidentMeta,
    entries: &[OutboxEntry],
    payloads: &[(String, Value)],
) -> Result<i64, StoreError> {
    let uid = uuid(&incident.uid)?;
    let mut tx = pool.begin().await?;
    let head: Option<(i64, String)> =
        sqlx::query_as("SELECT sequence, hash FROM transitions WHERE incident_uid = $1 ORDER BY sequence DESC LIMIT 1")
            .bind(uid)
            .fetch_optional(&mut *tx)
            .await?;
    let (mut stored, mut last_hash) = head.unwrap_or_default();
    for (digest, payload) in payloads {
        self::payload(&mut tx, uid, digest, payload).await?;
    }
    for entry in entries {
        check_entry(incident, entry, stored, &last_hash)?;
        transition(&mut tx, uid, incident, entry).await?;
        if entry.sequence > stored {
            stored = entry.sequence;
            last_hash.clone_from(&entry.hash);
        }
    }
    tx.commit().await?;
    Ok(stored)
}

/// An entry is stored only where it continues the chain; whatever is wrong with it would be wrong for ever.
pub(in crate::store) fn check_entry(
    incident: &IncidentMeta,
    entry: &OutboxEntry,
    stored: i64,
    last_hash: &str,
) -> Result<(), StoreError> {
    let sequence = entry.sequence;
    if entry.hash != chain::hash(&incident.uid, entry) {
        return Err(StoreError::InvalidRow(format!(
            "transition {sequence} of {} is not what was hashed",
            incident.uid
        )));
    }
    if sequence > stored.saturating_add(1) {
        return Err(StoreError::SequenceGap {
            incident_uid: incident.uid.clone(),
            stored,
            got: sequence,
        });
    }
    if sequence == stored.saturating_add(1) && entry.previous_hash != last_hash {
        return Err(StoreError::Conflict(format!(
            "transition {sequence} of {} continues another chain",
            incident.uid
        )));
    }
    Ok(())
}

async fn transition(
    tx: &mut PgTransaction<'_>,
    uid: Uuid,
    incident: &IncidentMeta,
    entry: &OutboxEntry,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO transitions (incident_uid, sequence, incident_name, namespace, at, from_phase, to_phase, actor, reason, message,
             payload_digest, payload_name, previous_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (incident_uid, sequence) DO NOTHING",
    )
    .bind(uid)
    .bind(entry.sequence)
    .bind(&incident.name)
    .bind(&incident.namespace)
    .bind(rows::micros(entry.at.0))
    .bind(rows::word(&entry.from)?)
    .bind(rows::word(&entry.to)?)
    .bind(&entry.actor)
    .bind(&entry.reason)
    .bind(&entry.message)
    .bind(&entry.payload_digest)
    .bind(entry.payload.as_deref())
    .bind(&entry.previous_hash)
    .bind(&entry.hash)
    .execute(&mut **tx)
    .await?;
    let row = sqlx::query("SELECT * FROM transitions WHERE incident_uid = $1 AND sequence = $2")
        .bind(uid)
        .bind(entry.sequence)
        .fetch_one(&mut **tx)
        .await?;
    same(rows::transition(&row)? == *entry, || {
        format!("transition {} of {uid}", entry.sequence)
    })
}

async fn payload(tx: &mut PgTransaction<'_>, uid: Uuid, digest: &str, payload: &Value) -> Result<(), StoreError> {
    let payload = Json(rows::json(payload.clone()));
    sqlx::query("INSERT INTO payloads (incident_uid, digest, payload) VALUES ($1, $2, $3) ON CONFLICT (incident_uid, digest) DO NOTHING")
        .bind(uid)
        .bind(digest)
        .bind(&payload)
        .execute(&mut **tx)
        .await?;
    let equal: bool = sqlx::query_scalar("SELECT payload = $3 FROM payloads WHERE incident_uid = $1 AND digest = $2")
        .bind(uid)
        .bind(digest)
        .bind(&payload)
        .fetch_one(&mut **tx)
        .await?;
    same(equal, || format!("record {digest} of {uid}"))
}

pub(super) async fn evidence(pool: &PgPool, incident_uid: &str, evidence: &[Evidence]) -> Result<(), StoreError> {
    let uid = uuid(incident_uid)?;
    let mut tx = pool.begin().await?;
    for item in evidence {
        let argv = rows::to_json(&item.argv)?;
        sqlx::query(
            "INSERT INTO evidence (incident_uid, id, agent, command, argv, state, exit_code, duration_ms, collected_at, output, sha256)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (incident_uid, id) DO NOTHING",
        )
        .bind(uid)
        .bind(&item.id)
        .bind(rows::word(&item.agent)?)
        .bind(rows::to_json(&item.command)?)
        .bind(&argv)
        .bind(rows::word(&item.state)?)
        .bind(item.exit_code)
        .bind(i64::try_from(item.duration_ms).unwrap_or(i64::MAX))
        .bind(rows::micros(item.collected_at))
        .bind(rows::text(&item.output))
        .bind(&item.sha256)
        .execute(&mut *tx)
        .await?;
        let equal: bool =
            sqlx::query_scalar("SELECT sha256 = $3 AND argv = $4 FROM evidence WHERE incident_uid = $1 AND id = $2")
                .bind(uid)
                .bind(&item.id)
                .bind(&item.sha256)
                .bind(&argv)
                .fetch_one(&mut *tx)
                .await?;
        same(equal, || format!("evidence {} of {uid}", item.id))?;
    }
    Ok(tx.commit().await?)
}

pub(super) async fn messages(pool: &PgPool, incident_uid: &str, messages: &[MessageRow]) -> Result<(), StoreError> {
    let uid = uuid(incident_uid)?;
    let mut tx = pool.begin().await?;
    for message in messages {
        sqlx::query(
            "INSERT INTO agent_messages (incident_uid, ordinal, role, recipient, kind, text, at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (incident_uid, ordinal) DO NOTHING",
        )
        .bind(uid)
        .bind(message.ordinal)
        .bind(rows::word(&message.role)?)
        .bind(rows::word(&message.to)?)
        .bind(rows::word(&message.kind)?)
        .bind(rows::text(&message.text))
        .bind(rows::micros(message.at))
        .execute(&mut *tx)
        .await?;
        let row = sqlx::query("SELECT * FROM agent_messages WHERE incident_uid = $1 AND ordinal = $2")
            .bind(uid)
            .bind(message.ordinal)
            .fetch_one(&mut *tx)
            .await?;
        let stored = rows::message(&row)?;
        // The time is when it was first recorded; everything else must be the same.
        let equal = stored.role == message.role
            && stored.to == message.to
            && stored.kind == message.kind
            && stored.text == rows::text(&message.text);
        same(equal, || format!("message {} of {uid}", message.ordinal))?;
    }
    Ok(tx.commit().await?)
}

pub(super) async fn commands(pool: &PgPool, incident_uid: &str, commands: &[CommandRow]) -> Result<(), StoreError> {
    let uid = uuid(incident_uid)?;
    let mut tx = pool.begin().await?;
    for command in commands {
        let wanted = CommandRow {
            argv: command.argv.iter().map(|a| rows::text(a).into_owned()).collect(),
            result: command.result.as_deref().map(|r| rows::text(r).into_owned()),
            ..command.clone()
        };
        sqlx::query(
            "INSERT INTO commands (incident_uid, id, role, lane, argv, state, exit_code, duration_ms, output_sha256, evidence, action, result)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (incident_uid, id) DO NOTHING",
        )
        .bind(uid)
        .bind(&wanted.id)
        .bind(rows::word(&wanted.role)?)
        .bind(rows::word(&wanted.lane)?)
        .bind(rows::to_json(&wanted.argv)?)
        .bind(&wanted.state)
        .bind(wanted.exit_code)
        .bind(wanted.duration_ms)
        .bind(wanted.output_sha256.as_deref())
        .bind(wanted.evidence.as_deref())
        .bind(wanted.action.as_deref())
        .bind(wanted.result.as_deref())
        .execute(&mut *tx)
        .await?;
        let row = sqlx::query("SELECT * FROM commands WHERE incident_uid = $1 AND id = $2")
            .bind(uid)
            .bind(&wanted.id)
            .fetch_one(&mut *tx)
            .await?;
        same(rows::command(&row)? == wanted, || {
            format!("command {} of {uid}", wanted.id)
        })?;
    }
    Ok(tx.commit().await?)
}

fn same(equal: bool, what: impl FnOnce() -> String) -> Result<(), StoreError> {
    if equal {
        Ok(())
    } else {
        Err(StoreError::Conflict(what()))
    }
}
