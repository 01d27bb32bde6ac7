//! Sends what waits in the outbox: a task for each channel, so that one that hangs holds no other up. Runs where the lease is held; started
//! by `run`. What was claimed by a process that died is sent again when its claim ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use firewatch_core::notify::Notice;
use firewatch_core::notify::pause::Patience;
use futures::future::join_all;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::Recorder;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::config::NotifyError;
use super::deliver::Line;
use super::enqueue::Notifier;
use super::http::Delivery;
use crate::store::outbox::{Claimed, Outbox};
use crate::store::{AuditSink, StoreError};
use crate::telemetry::events;
use crate::telemetry::metrics::{Metrics, NotifyLabel};

/// Notices that are on their way to one channel at once.
const AT_ONCE: i64 = 4;
/// How often the gauges are set.
const COUNT: Duration = Duration::from_secs(15);
/// How long what is on its way has to arrive when the process is told to stop.
const LAST: Duration = Duration::from_secs(3);

/// How it goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between tries.
    pub patience: Patience,
    /// How long a claim holds: longer than any try takes.
    pub hold: Duration,
    /// How often it looks where nobody wakes it.
    pub idle: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            patience: Patience::default(),
            hold: Duration::from_mins(1),
            idle: Duration::from_secs(2),
        }
    }
}

/// Everything that sending needs.
pub struct Sender {
    sink: Arc<dyn AuditSink>,
    notifier: Arc<Notifier>,
    lines: Vec<Line>,
    metrics: Arc<Metrics>,
    recorder: Option<Recorder>,
    pace: Pace,
}

impl Sender {
    /// Ready to send to every channel.
    pub fn new(
        sink: Arc<dyn AuditSink>,
        notifier: Arc<Notifier>,
        metrics: Arc<Metrics>,
        recorder: Option<Recorder>,
        pace: Pace,
    ) -> Result<Self, NotifyError> {
        if sink.outbox().is_none() {
            return Err(NotifyError::NoOutbox);
        }
        let lines = notifier
            .plan
            .channels
            .iter()
            .map(|channel| Line::new(channel.clone()).map_err(NotifyError::File))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            sink,
            notifier,
            lines,
            metrics,
            recorder,
            pace,
        })
    }

    /// Sends until told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        let Some(outbox) = self.sink.outbox() else { return };
        let all = async {
            tokio::join!(
                join_all(self.lines.iter().map(|line| self.serve(outbox, line, &stop))),
                self.count(outbox, &stop),
            );
        };
        tokio::select! {
            () = all => {}
            () = async { stop.cancelled().await; tokio::time::sleep(LAST).await } => {}
        }
    }

    async fn serve(&self, outbox: &dyn Outbox, line: &Line, stop: &CancellationToken) {
        // Until when the receiver asked to be left alone.
        let rest: Mutex<Option<Instant>> = Mutex::default();
        let mut failing = false;
        while !stop.is_cancelled() {
            let left = rest
                .lock()
                .await
                .take()
                .map(|until| until.saturating_duration_since(Instant::now()));
            if let Some(left) = left {
                tokio::select! { () = tokio::time::sleep(left) => {}, () = stop.cancelled() => return }
            }
            let claimed = match outbox.claim(&line.channel.name, AT_ONCE, self.pace.hold).await {
                Ok(claimed) => {
                    failing = false;
                    claimed
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, channel = %line.channel.name, "the outbox cannot be read; it is tried again");
                    }
                    failing = true;
                    Vec::new()
                }
            };
            if claimed.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(self.pace.idle) => {}
                    () = self.notifier.wake.notified() => {}
                    () = stop.cancelled() => return,
                }
                continue;
            }
            let all = claimed.iter().map(|one| self.one(outbox, line, one, &rest));
            join_all(all).await;
        }
    }

    async fn one(&self, outbox: &dyn Outbox, line: &Line, claimed: &Claimed, rest: &Mutex<Option<Instant>>) {
        let delivery = match serde_json::from_value::<Notice>(claimed.row.notice.clone()) {
            Ok(notice) => line.deliver(outbox, &notice).await,
            Err(error) => Delivery::Never {
                why: format!("the notice cannot be read: {error}"),
            },
        };
        let (channel, incident) = (&line.channel.name, &claimed.row.incident_name);
        let noted = match delivery {
            Delivery::Sent => {
                self.counted(line, "Sent");
                outbox.sent(claimed).await
            }
            Delivery::Again { why, after } if claimed.attempts < self.pace.patience.tries => {
                self.counted(line, "Retried");
                let chance = u32::try_from(uuid::Uuid::new_v4().as_u128() % 1000).unwrap_or(0);
                let pause = self.pace.patience.after(claimed.attempts, chance);
                let pause = after.map_or(pause, |after| after.max(pause));
                if let Some(until) = after.and_then(|after| Instant::now().checked_add(after)) {
                    *rest.lock().await = Some(until);
                }
                tracing::debug!(%channel, %incident, why, ?pause, "a notification was not taken; it is tried again");
                outbox.put_off(claimed, pause, &why).await
            }
            Delivery::Again { why, .. } | Delivery::Never { why } => {
                self.counted(line, "Dead");
                let noted = outbox.give_up(claimed, &why).await;
                self.tell(claimed, &why).await;
                noted
            }
        };
        if let Err(error) = noted {
            tracing::warn!(%error, %channel, %incident, "what became of a notification could not be noted; it may be sent again");
        }
    }

    /// Where a message is lost, the incident says so itself.
    async fn tell(&self, claimed: &Claimed, why: &str) {
        let row = &claimed.row;
        let message = format!(
            "channel {} was not told of transition {}: {why}",
            row.channel, row.sequence
        );
        tracing::error!(incident = %format!("{}/{}", row.namespace, row.incident_name), reason = "NotificationLost", message, "a notification is given up");
        let Some(recorder) = &self.recorder else { return };
        let about = ObjectReference {
            api_version: Some("firewatch.dev/v1alpha1".to_owned()),
            kind: Some("Incident".to_owned()),
            name: Some(row.incident_name.clone()),
            namespace: Some(row.namespace.clone()),
            uid: Some(row.incident_uid.clone()),
            ..ObjectReference::default()
        };
        events::about(recorder, &about, true, "NotificationLost", &row.channel, &message).await;
    }

    fn counted(&self, line: &Line, result: &'static str) {
        self.metrics
            .notifications
            .get_or_create(&NotifyLabel {
                kind: line.channel.kind.to_string(),
                result,
            })
            .inc();
    }

    async fn count(&self, outbox: &dyn Outbox, stop: &CancellationToken) {
        let names: Vec<String> = self.lines.iter().map(|line| line.channel.name.clone()).collect();
        let mut cleared = false;
        loop {
            if !cleared {
                match outbox.give_up_others(&names).await {
                    Ok(0) => cleared = true,
                    Ok(given_up) => {
                        cleared = true;
                        tracing::warn!(
                            given_up,
                            "notifications waited for channels that are no longer configured; they are given up"
                        );
                    }
                    Err(error) => tracing::debug!(%error, "the outbox cannot be looked at"),
                }
            }
            self.measure(outbox).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "the outbox cannot be measured");
            });
            tokio::select! { () = tokio::time::sleep(COUNT) => {}, () = stop.cancelled() => return }
        }
    }

    async fn measure(&self, outbox: &dyn Outbox) -> Result<(), StoreError> {
        let waiting = outbox.waiting().await?;
        self.metrics.notifications_waiting.set(waiting.count);
        self.metrics.notifications_oldest_seconds.set(waiting.oldest_seconds);
        Ok(())
    }
}
