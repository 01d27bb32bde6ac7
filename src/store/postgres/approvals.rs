//! Approvals: a row goes on from pending to decided to claimed, never back and never elsewhere.

use firewatch_core::report::ApprovalRow;
use sqlx::postgres::{PgPool, PgTransaction};
use uuid::Uuid;

use super::super::error::StoreError;
use super::{rows, uuid};

pub(super) async fn store(pool: &PgPool, incident_uid: &str, approval: &ApprovalRow) -> Result<(), StoreError> {
    let incident = uuid(incident_uid)?;
    let uid = uuid(&approval.uid)?;
    let approval = &clean(approval);
    let mut tx = pool.begin().await?;
    insert(&mut tx, incident, uid, approval).await?;
    let row = sqlx::query("SELECT * FROM approvals WHERE uid = $1 FOR UPDATE")
        .bind(uid)
        .fetch_one(&mut *tx)
        .await?;
    let stored = rows::approval(&row)?;
    let stored_incident: Uuid = sqlx::Row::try_get(&row, "incident_uid")?;
    if stored_incident != incident {
        return Err(StoreError::Conflict(format!("approval {}", approval.name)));
    }
    if stored != *approval {
        if stored.may_become(approval) {
            update(&mut tx, uid, approval).await?;
        } else if !approval.may_become(&stored) {
            return Err(StoreError::Conflict(format!(
                "the decision or claim of approval {}",
                approval.name
            )));
        }
    }
    Ok(tx.commit().await?)
}

fn clean(approval: &ApprovalRow) -> ApprovalRow {
    let mut row = approval.clone();
    row.reason = row.reason.map(|reason| rows::text(&reason).into_owned());
    if let Some(confirmation) = &mut row.confirmation {
        confirmation.reason = confirmation
            .reason
            .take()
            .map(|reason| rows::text(&reason).into_owned());
    }
    row
}

async fn insert(
    tx: &mut PgTransaction<'_>,
    incident: Uuid,
    uid: Uuid,
    approval: &ApprovalRow,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO approvals (uid, incident_uid, name, plan_digest, revision, required_approvals, expires_at, decision, approver, reason,
             confirmation, claim, rollback_claim, decided)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (uid) DO NOTHING",
    )
    .bind(uid)
    .bind(incident)
    .bind(&approval.name)
    .bind(&approval.plan_digest)
    .bind(approval.revision)
    .bind(approval.required_approvals)
    .bind(rows::micros(approval.expires_at))
    .bind(rows::word(&approval.decision)?)
    .bind(approval.approver.as_deref())
    .bind(approval.reason.as_deref())
    .bind(approval.confirmation.as_ref().map(rows::to_json).transpose()?)
    .bind(approval.claim.as_ref().map(rows::to_json).transpose()?)
    .bind(approval.rollback_claim.as_ref().map(rows::to_json).transpose()?)
    .bind(approval.is_decided())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn update(tx: &mut PgTransaction<'_>, uid: Uuid, approval: &ApprovalRow) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE approvals SET decision = $2, approver = $3, reason = $4, confirmation = $5, claim = $6, rollback_claim = $7, decided = $8
         WHERE uid = $1",
    )
    .bind(uid)
    .bind(rows::word(&approval.decision)?)
    .bind(approval.approver.as_deref())
    .bind(approval.reason.as_deref())
    .bind(approval.confirmation.as_ref().map(rows::to_json).transpose()?)
    .bind(approval.claim.as_ref().map(rows::to_json).transpose()?)
    .bind(approval.rollback_claim.as_ref().map(rows::to_json).transpose()?)
    .bind(approval.is_decided())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn is_stored(pool: &PgPool, approval_uid: &str) -> Result<bool, StoreError> {
    let decided: Option<bool> = sqlx::query_scalar("SELECT decided FROM approvals WHERE uid = $1")
        .bind(uuid(approval_uid)?)
        .fetch_optional(pool)
        .await?;
    Ok(decided.unwrap_or(false))
}
