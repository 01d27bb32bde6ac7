//! What is read back: one incident's story, how far it is stored, and whether anything can be stored at all.

use firewatch_core::report::Story;
use firewatch_core::report::story::by_number;
use sqlx::postgres::{PgPool, PgRow, PgTransaction};
use uuid::Uuid;

use super::super::error::StoreError;
use super::{audit_logs, rows, uuid};

pub(super) async fn stored_sequence(pool: &PgPool, incident_uid: &str) -> Result<i64, StoreError> {
    let highest: Option<i64> = sqlx::query_scalar("SELECT max(sequence) FROM transitions WHERE incident_uid = $1")
        .bind(uuid(incident_uid)?)
        .fetch_one(pool)
        .await?;
    Ok(highest.unwrap_or(0))
}

/// One story, as it was at one moment.
pub(super) async fn story(pool: &PgPool, incident_uid: &str) -> Result<Story, StoreError> {
    let uid = uuid(incident_uid)?;
    let mut tx = pool
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let transitions = all(
        &mut tx,
        "SELECT * FROM transitions WHERE incident_uid = $1 ORDER BY sequence",
        uid,
    )
    .await?;
    let messages = all(
        &mut tx,
        "SELECT * FROM agent_messages WHERE incident_uid = $1 ORDER BY ordinal",
        uid,
    )
    .await?;
    let commands = all(
        &mut tx,
        "SELECT * FROM commands WHERE incident_uid = $1 ORDER BY stored_at, id",
        uid,
    )
    .await?;
    let evidence = all(
        &mut tx,
        "SELECT id, agent, argv, state, collected_at, sha256 FROM evidence WHERE incident_uid = $1 ORDER BY id",
        uid,
    )
    .await?;
    let approvals = all(
        &mut tx,
        "SELECT * FROM approvals WHERE incident_uid = $1 ORDER BY revision, stored_at",
        uid,
    )
    .await?;
    let audit = sqlx::query(audit_logs::SELECT)
        .bind(uid)
        .fetch_optional(&mut *tx)
        .await?;
    tx.commit().await?;
    let mut story = Story {
        transitions: each(&transitions, rows::transition)?,
        messages: each(&messages, rows::message)?,
        commands: each(&commands, rows::command)?,
        evidence: each(&evidence, rows::evidence)?,
        approvals: each(&approvals, rows::approval)?,
        audit: audit.as_ref().map(audit_logs::of_row).transpose()?,
    };
    story.evidence.sort_by_key(|e| by_number(&e.id));
    story.commands.sort_by_cached_key(|c| (c.lane, by_number(&c.id)));
    Ok(story)
}

async fn all(tx: &mut PgTransaction<'_>, sql: &'static str, uid: Uuid) -> Result<Vec<PgRow>, StoreError> {
    Ok(sqlx::query(sql).bind(uid).fetch_all(&mut **tx).await?)
}

fn each<T>(found: &[PgRow], of_row: fn(&PgRow) -> Result<T, StoreError>) -> Result<Vec<T>, StoreError> {
    found.iter().map(of_row).collect()
}

pub(super) async fn incidents(pool: &PgPool) -> Result<Vec<String>, StoreError> {
    let found: Vec<Uuid> = sqlx::query_scalar(
        "SELECT incident_uid FROM transitions UNION SELECT id FROM audit_logs UNION SELECT incident_uid FROM approvals ORDER BY 1",
    )
    .fetch_all(pool)
    .await?;
    Ok(found.iter().map(Uuid::to_string).collect())
}

/// Whether this role may write where the operator writes: found out before something must be written.
pub(super) async fn may_write(pool: &PgPool) -> Result<(), StoreError> {
    let may: bool = sqlx::query_scalar(
        "SELECT bool_and(has_table_privilege(name, 'INSERT') AND has_table_privilege(name, 'SELECT'))
         FROM unnest(ARRAY['transitions', 'payloads', 'agent_messages', 'evidence', 'commands', 'approvals', 'audit_logs']) AS name",
    )
    .fetch_one(pool)
    .await?;
    if may {
        Ok(())
    } else {
        Err(StoreError::PermissionDenied(
            "this role may not write the record".to_owned(),
        ))
    }
}

/// Ids of the complete evidence whose output is not what its digest says. Where a NUL was replaced the digest cannot be checked.
pub(super) async fn damaged_evidence(pool: &PgPool, incident_uid: &str) -> Result<Vec<String>, StoreError> {
    let found = sqlx::query_scalar(
        "SELECT id FROM evidence
         WHERE incident_uid = $1 AND state = 'Complete' AND strpos(output, U&'\\FFFD') = 0
           AND sha256 <> 'sha256:' || encode(sha256(convert_to(output, 'UTF8')), 'hex')
         ORDER BY id",
    )
    .bind(uuid(incident_uid)?)
    .fetch_all(pool)
    .await?;
    Ok(found)
}
