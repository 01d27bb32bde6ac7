//! The outbox of notifications in Postgres. A claim is a lease: whoever dies with one loses it when its time is over, and the notice is
//! sent again. Called through `Outbox`.

use std::time::Duration;

use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::types::Json;
use uuid::Uuid;

use super::super::Stored;
use super::super::error::StoreError;
use super::super::outbox::{Claimed, Outbox, Outgoing, Thread, Waiting};
use super::{PostgresSink, rows, uuid};

/// What a receiver said, as far as it is kept.
const ERROR: usize = 500;

impl Outbox for PostgresSink {
    fn enqueue<'a>(&'a self, rows: &'a [Outgoing]) -> Stored<'a, ()> {
        Box::pin(self.bounded(enqueue(&self.pool, rows)))
    }

    fn claim<'a>(&'a self, channel: &'a str, most: i64, hold: Duration) -> Stored<'a, Vec<Claimed>> {
        Box::pin(self.bounded(claim(&self.pool, channel, most, hold)))
    }

    fn sent<'a>(&'a self, claimed: &'a Claimed) -> Stored<'a, ()> {
        Box::pin(self.bounded(end(&self.pool, claimed, "sent", None)))
    }

    fn put_off<'a>(&'a self, claimed: &'a Claimed, pause: Duration, why: &'a str) -> Stored<'a, ()> {
        Box::pin(self.bounded(put_off(&self.pool, claimed, pause, why)))
    }

    fn give_up<'a>(&'a self, claimed: &'a Claimed, why: &'a str) -> Stored<'a, ()> {
        Box::pin(self.bounded(end(&self.pool, claimed, "dead", Some(why))))
    }

    fn give_up_others<'a>(&'a self, channels: &'a [String]) -> Stored<'a, u64> {
        Box::pin(self.bounded(give_up_others(&self.pool, channels)))
    }

    fn thread<'a>(&'a self, incident_uid: &'a str, channel: &'a str) -> Stored<'a, Option<Thread>> {
        Box::pin(self.bounded(thread(&self.pool, incident_uid, channel)))
    }

    fn remember_thread<'a>(&'a self, incident_uid: &'a str, channel: &'a str, thread: &'a Thread) -> Stored<'a, ()> {
        Box::pin(self.bounded(remember_thread(&self.pool, incident_uid, channel, thread)))
    }

    fn waiting(&self) -> Stored<'_, Waiting> {
        Box::pin(self.bounded(waiting(&self.pool)))
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

async fn enqueue(pool: &PgPool, outgoing: &[Outgoing]) -> Result<(), StoreError> {
    let mut tx = pool.begin().await?;
    for row in outgoing {
        sqlx::query(
            "INSERT INTO notifications (incident_uid, channel, sequence, incident_name, namespace, notice)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (incident_uid, channel, sequence) DO NOTHING",
        )
        .bind(uuid(&row.incident_uid)?)
        .bind(&row.channel)
        .bind(row.sequence)
        .bind(&row.incident_name)
        .bind(&row.namespace)
        .bind(Json(rows::json(row.notice.clone())))
        .execute(&mut *tx)
        .await?;
    }
    Ok(tx.commit().await?)
}

async fn claim(pool: &PgPool, channel: &str, most: i64, hold: Duration) -> Result<Vec<Claimed>, StoreError> {
    let found = sqlx::query(
        "UPDATE notifications n
         SET claim = $1, claimed_until = now() + make_interval(secs => $2), attempts = attempts + 1
         FROM (
             SELECT incident_uid, channel, sequence FROM notifications due
             WHERE channel = $3 AND state = 'pending' AND next_at <= now()
               AND (claimed_until IS NULL OR claimed_until <= now())
               AND NOT EXISTS (
                   SELECT FROM notifications earlier
                   WHERE earlier.incident_uid = due.incident_uid AND earlier.channel = due.channel
                     AND earlier.state = 'pending' AND earlier.sequence < due.sequence)
             ORDER BY next_at LIMIT $4
             FOR UPDATE SKIP LOCKED
         ) chosen
         WHERE n.incident_uid = chosen.incident_uid AND n.channel = chosen.channel AND n.sequence = chosen.sequence
         RETURNING n.*",
    )
    .bind(Uuid::new_v4())
    .bind(seconds(hold))
    .bind(channel)
    .bind(most)
    .fetch_all(pool)
    .await?;
    found.iter().map(claimed).collect()
}

fn claimed(row: &PgRow) -> Result<Claimed, StoreError> {
    let incident_uid: Uuid = row.try_get("incident_uid")?;
    let claim: Option<Uuid> = row.try_get("claim")?;
    let Json(notice): Json<Value> = row.try_get("notice")?;
    Ok(Claimed {
        row: Outgoing {
            incident_uid: incident_uid.to_string(),
            sequence: row.try_get("sequence")?,
            channel: row.try_get("channel")?,
            incident_name: row.try_get("incident_name")?,
            namespace: row.try_get("namespace")?,
            notice,
        },
        attempts: row.try_get("attempts")?,
        claim: claim.unwrap_or_default().to_string(),
    })
}

fn cut(why: &str) -> String {
    rows::text(why).chars().take(ERROR).collect()
}

async fn end(pool: &PgPool, claimed: &Claimed, state: &str, why: Option<&str>) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE notifications SET state = $5, ended_at = now(), claim = NULL, claimed_until = NULL, last_error = coalesce($6, last_error)
         WHERE incident_uid = $1 AND channel = $2 AND sequence = $3 AND claim = $4",
    )
    .bind(uuid(&claimed.row.incident_uid)?)
    .bind(&claimed.row.channel)
    .bind(claimed.row.sequence)
    .bind(uuid(&claimed.claim)?)
    .bind(state)
    .bind(why.map(cut))
    .execute(pool)
    .await?;
    Ok(())
}

async fn put_off(pool: &PgPool, claimed: &Claimed, pause: Duration, why: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE notifications SET next_at = now() + make_interval(secs => $5), claim = NULL, claimed_until = NULL, last_error = $6
         WHERE incident_uid = $1 AND channel = $2 AND sequence = $3 AND claim = $4",
    )
    .bind(uuid(&claimed.row.incident_uid)?)
    .bind(&claimed.row.channel)
    .bind(claimed.row.sequence)
    .bind(uuid(&claimed.claim)?)
    .bind(seconds(pause))
    .bind(cut(why))
    .execute(pool)
    .await?;
    Ok(())
}

async fn give_up_others(pool: &PgPool, channels: &[String]) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE notifications SET state = 'dead', ended_at = now(), last_error = 'the channel is no longer configured'
         WHERE state = 'pending' AND NOT channel = ANY($1)",
    )
    .bind(channels)
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

async fn thread(pool: &PgPool, incident_uid: &str, channel: &str) -> Result<Option<Thread>, StoreError> {
    let found: Option<(String, String)> =
        sqlx::query_as("SELECT place, message FROM notification_threads WHERE incident_uid = $1 AND channel = $2")
            .bind(uuid(incident_uid)?)
            .bind(channel)
            .fetch_optional(pool)
            .await?;
    Ok(found.map(|(place, message)| Thread { place, message }))
}

async fn remember_thread(pool: &PgPool, incident_uid: &str, channel: &str, thread: &Thread) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO notification_threads (incident_uid, channel, place, message) VALUES ($1, $2, $3, $4)
         ON CONFLICT (incident_uid, channel) DO UPDATE SET place = $3, message = $4, begun_at = now()",
    )
    .bind(uuid(incident_uid)?)
    .bind(channel)
    .bind(rows::text(&thread.place))
    .bind(rows::text(&thread.message))
    .execute(pool)
    .await?;
    Ok(())
}

async fn waiting(pool: &PgPool) -> Result<Waiting, StoreError> {
    let (count, oldest_seconds): (i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(extract(epoch FROM now() - min(enqueued_at)), 0)::bigint
         FROM notifications WHERE state = 'pending'",
    )
    .fetch_one(pool)
    .await?;
    Ok(Waiting {
        count,
        oldest_seconds: oldest_seconds.max(0),
    })
}
