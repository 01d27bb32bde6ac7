//! What the tests share: an incident that goes through its phases, channels with secrets in files, and a sender in this process.

use std::sync::Arc;
use std::time::Duration;

use firewatch::notify::Notifier;
use firewatch::notify::sender::{Pace, Sender};
use firewatch::store::AuditSink;
use firewatch::telemetry::metrics::Metrics;
use firewatch_core::api::Incident;
use firewatch_core::api::status::{OutboxEntry, Phase};
use firewatch_core::notify::pause::Patience;
use firewatch_core::notify::routing;
use serde_json::json;
use sqlx::Row;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::database::Database;

pub const SECRET: &str = "a-secret-for-tests-only";

pub struct World<'a> {
    pub database: &'a Database,
    pub sink: Arc<dyn AuditSink>,
    pub notifier: Arc<Notifier>,
    pub metrics: Arc<Metrics>,
    pub folder: TempDir,
}

impl<'a> World<'a> {
    /// With these channels; `FOLDER` stands for where secrets are: `url`, `token`, `secret`.
    pub fn new(database: &'a Database, url: &str, config: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("url", url), ("token", "xoxb-1"), ("secret", SECRET)] {
            std::fs::write(folder.path().join(name), format!("{text}\n")).unwrap();
        }
        let config = config.replace("FOLDER", &folder.path().display().to_string());
        Self {
            database,
            sink: Arc::new(database.sink()),
            notifier: Arc::new(Notifier::new(routing::parse(&config).unwrap())),
            metrics: Arc::new(Metrics::default()),
            folder,
        }
    }

    /// What the relay does.
    pub async fn relays(&self, incident: &Incident, entries: &[OutboxEntry]) {
        self.notifier
            .enqueue(self.sink.as_ref(), &self.metrics, incident, entries)
            .await
            .unwrap();
    }

    pub fn sends(&self) -> Running {
        self.sends_for(Duration::from_mins(1))
    }

    /// With claims that hold so long.
    pub fn sends_for(&self, hold: Duration) -> Running {
        let pace = Pace {
            patience: Patience {
                first: Duration::from_millis(20),
                most: Duration::from_millis(100),
                tries: 1000,
            },
            hold,
            idle: Duration::from_millis(20),
        };
        let sender = Sender::new(
            self.sink.clone(),
            self.notifier.clone(),
            self.metrics.clone(),
            None,
            pace,
        )
        .unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        Running {
            stop,
            task: tokio::spawn(async move { sender.run(stopped).await }),
        }
    }

    /// State and tries of each row, by channel and number.
    pub async fn rows(&self) -> Vec<(String, i64, String, i32)> {
        let mut owner = self.database.owner().await;
        sqlx::query("SELECT channel, sequence, state, attempts FROM notifications ORDER BY channel, sequence")
            .fetch_all(&mut owner)
            .await
            .unwrap()
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
            .collect()
    }

    /// Once every row is in one of these states.
    pub async fn ends(&self) -> Vec<(String, i64, String, i32)> {
        for _ in 0..500 {
            let rows = self.rows().await;
            if rows.iter().all(|row| row.2 != "pending") {
                return rows;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        panic!("still waiting: {:?}", self.rows().await);
    }
}

pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn stops(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// As kill -9 does.
    pub async fn dies(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// An incident of its own, as it is at its end.
pub fn incident() -> Incident {
    let mut incident: Incident = serde_json::from_str(include_str!("../data/report/incident.json")).unwrap();
    incident.metadata.uid = Some(uuid::Uuid::new_v4().to_string());
    incident
}

/// The same while its plan waits for a decision.
pub fn awaiting(incident: &Incident) -> Incident {
    let mut incident = incident.clone();
    let status = incident.status.as_mut().unwrap();
    status.phase = Phase::AwaitingApproval;
    status.outcome = None;
    incident
}

pub fn entry(sequence: i64, from: &str, to: &str) -> OutboxEntry {
    serde_json::from_value(json!({
        "sequence": sequence, "at": "2026-03-01T03:00:00Z", "from": from, "to": to, "actor": "operator", "reason": "Accepted",
        "message": "it goes on", "payloadDigest": "", "previousHash": "", "hash": "",
    }))
    .unwrap()
}

pub fn opened() -> OutboxEntry {
    entry(1, "Pending", "Triaging")
}

pub fn asked() -> OutboxEntry {
    entry(5, "Reviewing", "AwaitingApproval")
}

pub fn ended() -> OutboxEntry {
    entry(9, "Verifying", "Completed")
}

/// A step that nobody is told of.
pub fn quiet() -> OutboxEntry {
    entry(2, "Triaging", "Investigating")
}
