//! Prometheus metrics, low in cardinality: phases, outcomes, lanes and closed reasons, never names. Written by the loop; what each
//! means to who operates Firewatch stands in docs/metrics.md, which a test compares with what is registered here.

use std::sync::Mutex;

use firewatch_core::api::Outcome;
use firewatch_core::api::status::ExecutionState;
use firewatch_core::incident::Reason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use strum::IntoEnumIterator;

use crate::incident::reconcile::REASONS;

/// `phase`
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PhaseLabel {
    /// Phase name.
    pub phase: String,
}

/// `outcome`
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// Outcome name.
    pub outcome: String,
}

/// `reason`
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabel {
    /// Closed reason.
    pub reason: String,
}

/// `lane`, `result`
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct JobLabel {
    /// Sandbox lane.
    pub lane: String,
    /// `succeeded` or a closed reason.
    pub result: String,
}

/// `source`, `result`
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct IntakeLabel {
    /// Which webhook.
    pub source: &'static str,
    /// `Accepted` or a closed reason.
    pub result: String,
}

/// `route`, `method`, `status`
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ApiLabel {
    /// The route's template, or `none`.
    pub route: String,
    /// `GET`, `POST`, `HEAD` or `other`.
    pub method: &'static str,
    /// HTTP status.
    pub status: u16,
}

/// `route`
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RouteLabel {
    /// The route's template, or `none`.
    pub route: String,
}

/// `role`, `result`
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ModelLabel {
    /// Which agent.
    pub role: String,
    /// `Succeeded` or a closed reason.
    pub result: String,
}

/// `kind`, `result`
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct NotifyLabel {
    /// Kind of the channel.
    pub kind: String,
    /// `Sent`, `Retried` or `Dead`.
    pub result: &'static str,
}

/// All metrics of the operator.
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Transitions into a phase.
    pub phases: Family<PhaseLabel, Counter>,
    /// Seconds spent in a phase.
    pub phase_seconds: Family<PhaseLabel, Histogram>,
    /// Incidents that ended.
    pub outcomes: Family<OutcomeLabel, Counter>,
    /// Incidents that have not ended, by phase, as last seen.
    pub active: Family<PhaseLabel, Gauge>,
    /// Reconciles that failed.
    pub reconcile_errors: Family<ReasonLabel, Counter>,
    /// Sandbox Jobs that ended.
    pub jobs: Family<JobLabel, Counter>,
    /// Webhooks that were taken or not.
    pub intake_requests: Family<IntakeLabel, Counter>,
    /// What became of reports: `Stored`, `Opened` where that made an incident, or a closed reason.
    pub intake_stored: Family<ReasonLabel, Counter>,
    /// Requests of the HTTP API.
    pub api_requests: Family<ApiLabel, Counter>,
    /// How long each took until its answer began.
    pub api_seconds: Family<RouteLabel, Histogram>,
    /// Streams of transitions that are open.
    pub api_streams: Gauge,
    /// Model calls, by how they ended.
    pub model_calls: Family<ModelLabel, Counter>,
    /// Tokens of those.
    pub model_tokens: Family<ModelLabel, Counter>,
    /// Their cost, in millionths of a dollar.
    pub model_cost_micros: Family<ModelLabel, Counter>,
    /// Tries to tell somebody, by how they ended.
    pub notifications: Family<NotifyLabel, Counter>,
    /// Notifications that wait.
    pub notifications_waiting: Gauge,
    /// For how long the oldest of them has.
    pub notifications_oldest_seconds: Gauge,
    /// Transitions that are not stored yet.
    pub outbox_backlog: Gauge,
    /// 1 while the admission policies are as expected.
    pub guard_intact: Gauge,
    /// 1 while this process holds the lease.
    pub leader: Gauge,
    /// For how long the incident that has waited longest for its approval has.
    pub approval_oldest_seconds: Gauge,
    /// How old the oldest transition is that is not stored yet.
    pub outbox_oldest_seconds: Gauge,
    /// ResponsePolicies whose kill switch is on.
    pub policies_suspended: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new([0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0]);
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("firewatch")),
            phases: Family::default(),
            phase_seconds: Family::new_with_constructor(seconds),
            outcomes: Family::default(),
            active: Family::default(),
            reconcile_errors: Family::default(),
            jobs: Family::default(),
            intake_requests: Family::default(),
            intake_stored: Family::default(),
            api_requests: Family::default(),
            api_seconds: Family::new_with_constructor(|| Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0])),
            api_streams: Gauge::default(),
            model_calls: Family::default(),
            model_tokens: Family::default(),
            model_cost_micros: Family::default(),
            notifications: Family::default(),
            notifications_waiting: Gauge::default(),
            notifications_oldest_seconds: Gauge::default(),
            outbox_backlog: Gauge::default(),
            guard_intact: Gauge::default(),
            leader: Gauge::default(),
            approval_oldest_seconds: Gauge::default(),
            outbox_oldest_seconds: Gauge::default(),
            policies_suspended: Gauge::default(),
        };
        if let Ok(mut registry) = metrics.registry.lock() {
            registry.register(
                "incident_phase_transitions",
                "Transitions into a phase",
                metrics.phases.clone(),
            );
            registry.register(
                "incident_phase_duration_seconds",
                "Time spent in a phase",
                metrics.phase_seconds.clone(),
            );
            registry.register(
                "incidents_completed",
                "Incidents that ended, by outcome",
                metrics.outcomes.clone(),
            );
            registry.register(
                "incidents_active",
                "Incidents that have not ended, by phase",
                metrics.active.clone(),
            );
            registry.register(
                "reconcile_errors",
                "Reconciles that failed, by closed reason",
                metrics.reconcile_errors.clone(),
            );
            registry.register(
                "sandbox_jobs",
                "Sandbox Jobs that ended, by lane and result",
                metrics.jobs.clone(),
            );
            registry.register(
                "intake_requests",
                "Webhooks, by source and result",
                metrics.intake_requests.clone(),
            );
            registry.register(
                "intake_reports",
                "What became of reports, by closed reason",
                metrics.intake_stored.clone(),
            );
            registry.register(
                "api_requests",
                "Requests of the HTTP API, by route and status",
                metrics.api_requests.clone(),
            );
            registry.register(
                "api_request_duration_seconds",
                "Time until the answer to a request of the HTTP API began",
                metrics.api_seconds.clone(),
            );
            registry.register(
                "api_streams",
                "Streams of transitions that are open",
                metrics.api_streams.clone(),
            );
            registry.register(
                "model_calls",
                "Model calls, by agent and how they ended",
                metrics.model_calls.clone(),
            );
            registry.register(
                "model_tokens",
                "Tokens of model calls, sent and received",
                metrics.model_tokens.clone(),
            );
            registry.register(
                "model_cost_micros",
                "Cost of model calls, in millionths of a US dollar",
                metrics.model_cost_micros.clone(),
            );
            registry.register(
                "notifications",
                "Tries to tell somebody, by kind of channel and how they ended",
                metrics.notifications.clone(),
            );
            registry.register(
                "notifications_waiting",
                "Notifications that are not told yet",
                metrics.notifications_waiting.clone(),
            );
            registry.register(
                "notifications_oldest_seconds",
                "Age of the oldest notification that is not told yet",
                metrics.notifications_oldest_seconds.clone(),
            );
            registry.register(
                "audit_outbox_backlog",
                "Transitions not yet stored outside the cluster",
                metrics.outbox_backlog.clone(),
            );
            registry.register(
                "approval_guard_intact",
                "1 while the admission policies are as expected",
                metrics.guard_intact.clone(),
            );
            registry.register("leader", "1 while this process holds the lease", metrics.leader.clone());
            registry.register(
                "approval_oldest_waiting_seconds",
                "How long the incident that has waited longest in AwaitingApproval has",
                metrics.approval_oldest_seconds.clone(),
            );
            registry.register(
                "audit_outbox_oldest_seconds",
                "Age of the oldest transition that is not yet stored outside the cluster",
                metrics.outbox_oldest_seconds.clone(),
            );
            registry.register(
                "policies_suspended",
                "ResponsePolicies whose kill switch is on",
                metrics.policies_suspended.clone(),
            );
        }
        metrics.begin();
        metrics
    }
}

impl Metrics {
    /// What an alert or a rate looks at begins at 0: a counter that first appears as 1 never shows an increase.
    fn begin(&self) {
        for outcome in Outcome::iter() {
            let _ = self.outcomes.get_or_create(&OutcomeLabel {
                outcome: outcome.to_string(),
            });
        }
        let of_the_sandbox = Reason::iter().filter(|reason| reason.as_ref().starts_with("Sandbox"));
        let observed = of_the_sandbox.map(|reason| ("observe", reason.to_string()));
        let executed = ["remediate", "rollback"].into_iter().flat_map(|lane| {
            use ExecutionState::{Failed, Refused, Succeeded, Unknown};
            [Succeeded, Failed, Refused, Unknown].map(|state| (lane, state.to_string()))
        });
        for (lane, result) in observed.chain(executed).chain([("observe", "succeeded".to_owned())]) {
            let _ = self.jobs.get_or_create(&JobLabel {
                lane: lane.to_owned(),
                result,
            });
        }
        for kind in firewatch_core::notify::Kind::iter() {
            for result in ["Sent", "Retried", "Dead"] {
                let kind = kind.to_string();
                let _ = self.notifications.get_or_create(&NotifyLabel { kind, result });
            }
        }
        for reason in REASONS {
            let _ = self.reconcile_errors.get_or_create(&ReasonLabel {
                reason: reason.to_owned(),
            });
        }
    }

    /// The text that `/metrics` answers.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Ok(registry) = self.registry.lock() {
            // Writing into a String cannot fail.
            let _ = encode(&mut text, &registry);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_counted_under_its_name() {
        let metrics = Metrics::default();
        metrics
            .outcomes
            .get_or_create(&OutcomeLabel {
                outcome: "Remediated".into(),
            })
            .inc();
        assert!(
            metrics
                .render()
                .contains("firewatch_incidents_completed_total{outcome=\"Remediated\"} 1")
        );
    }
}
