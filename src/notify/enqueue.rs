//! Puts what is to be told into the outbox. Called by the relay before the transitions themselves are stored: whatever dies in between, the
//! relay comes again with the same transitions, and what is there already stays as it is. So nothing is lost, and nothing is told twice.

use std::collections::BTreeMap;

use firewatch_core::api::Incident;
use firewatch_core::api::status::OutboxEntry;
use firewatch_core::notify::{Routing, notice};
use tokio::sync::Notify;

use crate::store::outbox::Outgoing;
use crate::store::{AuditSink, StoreError};
use crate::telemetry::metrics::{Metrics, NotifyLabel};

/// To whom what is told.
#[derive(Debug, Default)]
pub struct Notifier {
    /// Channels and routes.
    pub plan: Routing,
    /// Wakes the sender.
    pub wake: Notify,
}

impl Notifier {
    /// From what is configured.
    pub fn new(plan: Routing) -> Self {
        Self {
            plan,
            wake: Notify::new(),
        }
    }

    /// Enqueues the notices of these transitions. A store that is away for the moment is told to the relay, which comes again; any other
    /// fault of the outbox is said loudly and holds nothing up.
    pub async fn enqueue(
        &self,
        sink: &dyn AuditSink,
        metrics: &Metrics,
        incident: &Incident,
        entries: &[OutboxEntry],
    ) -> Result<(), StoreError> {
        let rows = self.rows(incident, entries);
        let Some(outbox) = sink.outbox().filter(|_| !rows.is_empty()) else {
            return Ok(());
        };
        match outbox.enqueue(&rows).await {
            Ok(()) => {
                self.wake.notify_waiters();
                Ok(())
            }
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                for row in &rows {
                    let kind = self
                        .plan
                        .channels
                        .iter()
                        .find(|c| c.name == row.channel)
                        .map(|c| c.kind);
                    metrics
                        .notifications
                        .get_or_create(&NotifyLabel {
                            kind: kind.map_or(String::new(), |kind| kind.to_string()),
                            result: "Dead",
                        })
                        .inc();
                }
                tracing::error!(%error, reason = error.reason(), count = rows.len(), "notifications could not be enqueued and are lost");
                Ok(())
            }
        }
    }

    /// A row for each notice and channel.
    pub fn rows(&self, incident: &Incident, entries: &[OutboxEntry]) -> Vec<Outgoing> {
        let labels: BTreeMap<String, String> = notice::labels(incident);
        let notices = entries.iter().filter_map(|entry| notice::notice(incident, entry));
        notices
            .flat_map(|notice| {
                let value = serde_json::to_value(&notice).unwrap_or_default();
                let rows: Vec<Outgoing> = self
                    .plan
                    .channels_for(&notice, &labels)
                    .into_iter()
                    .map(|channel| Outgoing {
                        incident_uid: notice.incident_uid.clone(),
                        sequence: notice.sequence,
                        channel: channel.name.clone(),
                        incident_name: notice.name.clone(),
                        namespace: notice.namespace.clone(),
                        notice: value.clone(),
                    })
                    .collect();
                rows
            })
            .collect()
    }
}
