//! Between the core's rows and Postgres' columns. Postgres cannot keep a NUL, neither in text nor in jsonb: it is replaced here, so that
//! hostile output cannot stop the record. Called by the other modules of `postgres`.

use std::borrow::Cow;

use firewatch_core::api::status::OutboxEntry;
use firewatch_core::report::{ApprovalRow, CommandRow, EvidenceRow, MessageRow};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use super::super::error::StoreError;

/// Text without NUL.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// JSON without NUL, in keys and in values.
pub(super) fn json(value: Value) -> Value {
    match value {
        Value::String(string) => Value::String(text(&string).into_owned()),
        Value::Array(list) => Value::Array(list.into_iter().map(json).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (text(&key).into_owned(), json(value)))
                .collect(),
        ),
        other => other,
    }
}

/// Any serialisable value as JSON without NUL.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<Json<Value>, StoreError> {
    serde_json::to_value(value)
        .map(|value| Json(json(value)))
        .map_err(|error| StoreError::InvalidRow(error.to_string()))
}

/// One of the core's words, as it is written everywhere.
pub(super) fn word<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => Ok(word),
        _ => Err(StoreError::InvalidRow("a word was expected".to_owned())),
    }
}

/// A column that holds one of the core's words.
pub(super) fn parsed<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<T, StoreError> {
    let word: String = row.try_get(column)?;
    from_value(column, Value::String(word))
}

/// As `parsed`, of a column that may be null.
pub(super) fn parsed_opt<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<Option<T>, StoreError> {
    let word: Option<String> = row.try_get(column)?;
    word.map(|word| from_value(column, Value::String(word))).transpose()
}

/// A jsonb column.
pub(super) fn decoded<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<T, StoreError> {
    let Json(value): Json<Value> = row.try_get(column)?;
    from_value(column, value)
}

/// As `decoded`, of a column that may be null.
pub(super) fn decoded_opt<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<Option<T>, StoreError> {
    let value: Option<Json<Value>> = row.try_get(column)?;
    value.map(|Json(value)| from_value(column, value)).transpose()
}

fn from_value<T: DeserializeOwned>(column: &str, value: Value) -> Result<T, StoreError> {
    serde_json::from_value(value)
        .map_err(|error| StoreError::InvalidRow(format!("column {column} holds what Firewatch never wrote: {error}")))
}

/// A point in time.
pub(super) fn time(row: &PgRow, column: &str) -> Result<Timestamp, StoreError> {
    let at: jiff_sqlx::Timestamp = row.try_get(column)?;
    Ok(at.to_jiff())
}

/// Postgres keeps microseconds.
pub(super) fn micros(at: Timestamp) -> jiff_sqlx::Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at).into()
}

pub(super) fn transition(row: &PgRow) -> Result<OutboxEntry, StoreError> {
    Ok(OutboxEntry {
        sequence: row.try_get("sequence")?,
        at: Time(time(row, "at")?),
        from: parsed(row, "from_phase")?,
        to: parsed(row, "to_phase")?,
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        message: row.try_get("message")?,
        payload_digest: row.try_get("payload_digest")?,
        payload: row.try_get("payload_name")?,
        previous_hash: row.try_get("previous_hash")?,
        hash: row.try_get("hash")?,
    })
}

pub(super) fn message(row: &PgRow) -> Result<MessageRow, StoreError> {
    Ok(MessageRow {
        ordinal: row.try_get("ordinal")?,
        role: parsed(row, "role")?,
        to: parsed(row, "recipient")?,
        kind: parsed(row, "kind")?,
        text: row.try_get("text")?,
        at: time(row, "at")?,
    })
}

pub(super) fn command(row: &PgRow) -> Result<CommandRow, StoreError> {
    Ok(CommandRow {
        id: row.try_get("id")?,
        role: parsed(row, "role")?,
        lane: parsed(row, "lane")?,
        argv: decoded(row, "argv")?,
        state: row.try_get("state")?,
        exit_code: row.try_get("exit_code")?,
        duration_ms: row.try_get("duration_ms")?,
        output_sha256: row.try_get("output_sha256")?,
        evidence: row.try_get("evidence")?,
        action: row.try_get("action")?,
        result: row.try_get("result")?,
    })
}

pub(super) fn evidence(row: &PgRow) -> Result<EvidenceRow, StoreError> {
    Ok(EvidenceRow {
        id: row.try_get("id")?,
        agent: parsed(row, "agent")?,
        argv: decoded(row, "argv")?,
        state: parsed(row, "state")?,
        collected_at: time(row, "collected_at")?,
        sha256: row.try_get("sha256")?,
    })
}

pub(super) fn approval(row: &PgRow) -> Result<ApprovalRow, StoreError> {
    let uid: uuid::Uuid = row.try_get("uid")?;
    Ok(ApprovalRow {
        uid: uid.to_string(),
        name: row.try_get("name")?,
        plan_digest: row.try_get("plan_digest")?,
        revision: row.try_get("revision")?,
        required_approvals: row.try_get("required_approvals")?,
        expires_at: time(row, "expires_at")?,
        decision: parsed(row, "decision")?,
        approver: row.try_get("approver")?,
        reason: row.try_get("reason")?,
        confirmation: decoded_opt(row, "confirmation")?,
        claim: decoded_opt(row, "claim")?,
        rollback_claim: decoded_opt(row, "rollback_claim")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_replaced_wherever_it_hides_and_nothing_else_changes() {
        let hostile = serde_json::json!({ "a\0": ["x\0y", 1, null, { "b": "\0" }], "c": "clean ␀" });
        let clean = serde_json::json!({ "a\u{fffd}": ["x\u{fffd}y", 1, null, { "b": "\u{fffd}" }], "c": "clean ␀" });
        assert_eq!(json(hostile), clean);
    }
}
