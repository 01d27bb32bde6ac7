//! What models cost: reserved before a call, settled after it, each in one transaction under one lock, so that no limit is passed however
//! many incidents ask at once. The arithmetic is `agents::model::budget`'s. Called by the sink.

use std::collections::BTreeMap;

use firewatch_core::agents::model::budget::{Account, Amount, Micros, Scope, Settled, is_nearly_spent, reserve};
use sqlx::postgres::{PgPool, PgTransaction};
use uuid::Uuid;

use super::super::error::StoreError;
use super::super::{ModelCallRow, Reservation, Reserved};
use super::uuid as uuid_of;

/// Any number that nothing else locks.
const LOCK: i64 = 0x6669_7265_7370_656e;

/// Millionths as the database keeps them: a decimal with six places, exactly.
fn usd(micros: Micros) -> String {
    micros.to_string()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

async fn account(
    tx: &mut PgTransaction<'_>,
    scope: Scope,
    of: &Reservation,
    uid: Uuid,
    limit: Amount,
) -> Result<Account, StoreError> {
    // What is not settled counts with what was reserved. Millionths as whole numbers: nothing is rounded.
    const SUMS: &str = "SELECT coalesce(sum(spent_tokens), 0)::bigint,
            coalesce(sum(spent_usd) * 1000000, 0)::bigint,
            coalesce(sum(reserved_tokens) FILTER (WHERE spent_usd IS NULL), 0)::bigint,
            coalesce(sum(reserved_usd) FILTER (WHERE spent_usd IS NULL) * 1000000, 0)::bigint
     FROM model_spend WHERE ($1::uuid IS NULL OR incident_uid = $1) AND ($2::text IS NULL OR namespace = $2)
       AND ($3::text IS NULL OR day = $3::date)";
    let (incident, namespace, day) = match scope {
        Scope::Incident => (Some(uid), None, None),
        Scope::NamespaceDay => (None, Some(of.namespace.as_str()), Some(of.day.as_str())),
        Scope::ClusterDay => (None, None, Some(of.day.as_str())),
    };
    let (spent_tokens, spent, reserved_tokens, reserved): (i64, i64, i64, i64) = sqlx::query_as(SUMS)
        .bind(incident)
        .bind(namespace)
        .bind(day)
        .fetch_one(&mut **tx)
        .await?;
    Ok(Account {
        limit,
        spent: Amount {
            tokens: unsigned(spent_tokens),
            cost: Micros(unsigned(spent)),
        },
        reserved: Amount {
            tokens: unsigned(reserved_tokens),
            cost: Micros(unsigned(reserved)),
        },
    })
}

async fn accounts(
    tx: &mut PgTransaction<'_>,
    of: &Reservation,
    uid: Uuid,
    limits: &BTreeMap<Scope, Amount>,
) -> Result<BTreeMap<Scope, Account>, StoreError> {
    let mut accounts = BTreeMap::new();
    for (scope, limit) in limits {
        accounts.insert(*scope, account(tx, *scope, of, uid, *limit).await?);
    }
    Ok(accounts)
}

/// A transaction that no other of these runs beside.
async fn alone(pool: &PgPool) -> Result<PgTransaction<'static>, StoreError> {
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *tx)
        .await?;
    Ok(tx)
}

/// Reserves in all accounts or in none. The same call reserves once, however often it asks.
pub(super) async fn reserve_call(
    pool: &PgPool,
    of: &Reservation,
    limits: &BTreeMap<Scope, Amount>,
) -> Result<Reserved, StoreError> {
    let uid = uuid_of(&of.incident_uid)?;
    let mut tx = alone(pool).await?;
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM model_spend WHERE call_id = $1)")
        .bind(&of.call_id)
        .fetch_one(&mut *tx)
        .await?;
    if known {
        return Ok(Reserved::Granted);
    }
    let mut accounts = accounts(&mut tx, of, uid, limits).await?;
    if let Err(spent) = reserve(&mut accounts, of.amount) {
        return Ok(Reserved::Spent(spent.scope));
    }
    sqlx::query(
        "INSERT INTO model_spend (call_id, incident_uid, namespace, day, reserved_tokens, reserved_usd)
         VALUES ($1, $2, $3, $4::date, $5, $6::decimal)",
    )
    .bind(&of.call_id)
    .bind(uid)
    .bind(&of.namespace)
    .bind(&of.day)
    .bind(signed(of.amount.tokens))
    .bind(usd(of.amount.cost))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Reserved::Granted)
}

/// Notes what a call came to. The first settlement holds.
pub(super) async fn settle_call(
    pool: &PgPool,
    of: &Reservation,
    spent: Amount,
    limits: &BTreeMap<Scope, Amount>,
) -> Result<Settled, StoreError> {
    let uid = uuid_of(&of.incident_uid)?;
    let mut tx = alone(pool).await?;
    sqlx::query(
        "UPDATE model_spend SET spent_tokens = $2, spent_usd = $3::decimal, settled_at = now()
         WHERE call_id = $1 AND settled_at IS NULL",
    )
    .bind(&of.call_id)
    .bind(signed(spent.tokens))
    .bind(usd(spent.cost))
    .execute(&mut *tx)
    .await?;
    let accounts = accounts(&mut tx, of, uid, limits).await?;
    tx.commit().await?;
    Ok(Settled {
        overbilled: !spent.fits(of.amount),
        nearly_spent: accounts
            .values()
            .any(|account| is_nearly_spent(account.spent, account.limit)),
    })
}

/// Stores a call as it ended.
pub(super) async fn model_call(pool: &PgPool, incident_uid: &str, row: &ModelCallRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO model_calls (incident_uid, id, role, model, state, request_digest, response_digest, prompt_tokens,
             completion_tokens, cost_usd, started_at, duration_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::decimal, $11::timestamptz, $12)
         ON CONFLICT (incident_uid, id) DO NOTHING",
    )
    .bind(uuid_of(incident_uid)?)
    .bind(&row.id)
    .bind(&row.role)
    .bind(&row.model)
    .bind(&row.state)
    .bind(&row.request_digest)
    .bind(row.response_digest.as_deref())
    .bind(signed(row.prompt_tokens))
    .bind(signed(row.completion_tokens))
    .bind(usd(row.cost))
    .bind(&row.started_at)
    .bind(row.duration_ms)
    .execute(pool)
    .await?;
    Ok(())
}
