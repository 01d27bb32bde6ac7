//! The one row per investigation. Its scalars come from the incident; messages, commands and results are put in from the tables in
//! which they are stored, so that the row never says anything that the record does not.

use firewatch_core::api::status::PlanStatus;
use firewatch_core::report::AuditRow;
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};
use uuid::Uuid;

use super::super::error::StoreError;
use super::{rows, uuid};

const UPSERT: &str = "
    WITH said AS (
        SELECT role, jsonb_agg(jsonb_build_object('to', recipient, 'kind', kind, 'text', text, 'at', at) ORDER BY ordinal) AS messages
        FROM agent_messages WHERE incident_uid = $1 GROUP BY role
    ), ran AS (
        SELECT jsonb_agg(jsonb_build_object('id', id, 'role', role, 'lane', lane, 'command', argv) ORDER BY stored_at, length(id), id) AS commands,
               jsonb_agg(jsonb_build_object('id', id, 'state', state, 'exit_code', exit_code, 'duration_ms', duration_ms,
                                            'output_sha256', output_sha256, 'evidence', evidence, 'result', result) ORDER BY stored_at, length(id), id)
                   AS results
        FROM commands WHERE incident_uid = $1
    )
    INSERT INTO audit_logs (
        id, created_at, name, namespace, alert_type, service, severity, phase, outcome,
        root_cause, root_cause_category, proposed_remediation, commander_verdict, commander_reason, execution_status,
        total_tokens, cost_usd, duration_ms, resolved, human_intervention, sequence, last_hash, record,
        commander_messages, sre_messages, code_analyst_messages, planner_messages, sandbox_commands, sandbox_results)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17::numeric, $18, $19, $20, $21, $22, $23,
           coalesce((SELECT messages FROM said WHERE role = 'commander'), '[]'),
           coalesce((SELECT messages FROM said WHERE role = 'sre-investigator'), '[]'),
           coalesce((SELECT messages FROM said WHERE role = 'code-analyst'), '[]'),
           coalesce((SELECT messages FROM said WHERE role = 'remediation-planner'), '[]'),
           coalesce((SELECT commands FROM ran), '[]'),
           coalesce((SELECT results FROM ran), '[]')
    ON CONFLICT (id) DO UPDATE SET
        updated_at = now(), severity = excluded.severity, phase = excluded.phase, outcome = excluded.outcome,
        root_cause = excluded.root_cause, root_cause_category = excluded.root_cause_category,
        proposed_remediation = excluded.proposed_remediation, commander_verdict = excluded.commander_verdict,
        commander_reason = excluded.commander_reason, execution_status = excluded.execution_status,
        total_tokens = excluded.total_tokens, cost_usd = excluded.cost_usd, duration_ms = excluded.duration_ms,
        resolved = excluded.resolved, human_intervention = excluded.human_intervention,
        sequence = excluded.sequence, last_hash = excluded.last_hash, record = excluded.record,
        commander_messages = excluded.commander_messages, sre_messages = excluded.sre_messages,
        code_analyst_messages = excluded.code_analyst_messages, planner_messages = excluded.planner_messages,
        sandbox_commands = excluded.sandbox_commands, sandbox_results = excluded.sandbox_results
    WHERE audit_logs.sequence <= excluded.sequence";

/// A row that is older than the stored one changes nothing.
pub(super) async fn upsert(pool: &PgPool, row: &AuditRow) -> Result<(), StoreError> {
    sqlx::query(UPSERT)
        .bind(uuid(&row.id)?)
        .bind(rows::micros(row.created_at))
        .bind(&row.name)
        .bind(&row.namespace)
        .bind(rows::text(&row.alert_type))
        .bind(rows::text(&row.service))
        .bind(row.severity.as_ref().map(rows::word).transpose()?)
        .bind(rows::word(&row.phase)?)
        .bind(row.outcome.as_ref().map(rows::word).transpose()?)
        .bind(row.root_cause.as_deref().map(rows::text))
        .bind(row.root_cause_category.as_deref().map(rows::text))
        .bind(row.proposed_remediation.as_ref().map(rows::to_json).transpose()?)
        .bind(row.commander_verdict.as_deref())
        .bind(row.commander_reason.as_deref().map(rows::text))
        .bind(&row.execution_status)
        .bind(row.total_tokens)
        .bind(&row.cost_usd)
        .bind(row.duration_ms)
        .bind(row.resolved)
        .bind(row.human_intervention)
        .bind(row.sequence)
        .bind(row.last_hash.as_deref())
        .bind(rows::to_json(&row.record)?)
        .execute(pool)
        .await?;
    Ok(())
}

pub(super) const SELECT: &str = "SELECT *, cost_usd::text AS cost_text FROM audit_logs WHERE id = $1";

pub(super) fn of_row(row: &PgRow) -> Result<AuditRow, StoreError> {
    let id: Uuid = row.try_get("id")?;
    let plan: Option<PlanStatus> = rows::decoded_opt(row, "proposed_remediation")?;
    Ok(AuditRow {
        id: id.to_string(),
        name: row.try_get("name")?,
        namespace: row.try_get("namespace")?,
        created_at: rows::time(row, "created_at")?,
        alert_type: row.try_get("alert_type")?,
        service: row.try_get("service")?,
        severity: rows::parsed_opt(row, "severity")?,
        phase: rows::parsed(row, "phase")?,
        outcome: rows::parsed_opt(row, "outcome")?,
        root_cause: row.try_get("root_cause")?,
        root_cause_category: row.try_get("root_cause_category")?,
        proposed_remediation: plan,
        commander_verdict: row.try_get("commander_verdict")?,
        commander_reason: row.try_get("commander_reason")?,
        execution_status: row.try_get("execution_status")?,
        total_tokens: row.try_get("total_tokens")?,
        cost_usd: row.try_get("cost_text")?,
        duration_ms: row.try_get("duration_ms")?,
        resolved: row.try_get("resolved")?,
        human_intervention: row.try_get("human_intervention")?,
        sequence: row.try_get("sequence")?,
        last_hash: row.try_get("last_hash")?,
        record: rows::decoded(row, "record")?,
    })
}
