//! What stands at this moment, as gauges: counted anew from what the watches hold, so that a restart or a lost update leaves no
//! wrong number behind. It reads caches only: it never asks the API server or the database. Spawned by `run`, on the leader alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use firewatch_core::api::{Incident, Phase, ResponsePolicy};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use strum::IntoEnumIterator;
use tokio_util::sync::CancellationToken;

use super::metrics::{Metrics, PhaseLabel};
use crate::incident::context::Context;

/// How often it counts.
const INTERVAL: Duration = Duration::from_secs(5);

/// Counts until stopped.
pub async fn keep(ctx: Arc<Context>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! { _ = ticks.tick() => {}, () = stop.cancelled() => return }
        let stored: HashMap<String, i64> = ctx
            .relayed
            .lock()
            .await
            .iter()
            .map(|(uid, relayed)| (uid.clone(), relayed.stored))
            .collect();
        let incidents = ctx.incidents.state();
        let policies = ctx.policies.state();
        set(
            &ctx.metrics,
            incidents.iter().map(AsRef::as_ref),
            policies.iter().map(AsRef::as_ref),
            &stored,
            Timestamp::now(),
        );
    }
}

/// Sets every gauge from what is there. `stored`: the highest stored sequence of each incident, by uid.
fn set<'a>(
    metrics: &Metrics,
    incidents: impl Iterator<Item = &'a Incident>,
    policies: impl Iterator<Item = &'a ResponsePolicy>,
    stored: &HashMap<String, i64>,
    now: Timestamp,
) {
    let age = |since: Timestamp| now.duration_since(since).as_secs().max(0);
    let mut phases: HashMap<Phase, i64> = HashMap::new();
    let (mut undecided, mut backlog, mut unstored) = (0, 0, 0);
    for incident in incidents {
        let Some(status) = &incident.status else { continue };
        *phases.entry(status.phase).or_default() += 1;
        if status.phase == Phase::AwaitingApproval
            && let Some(since) = &status.phase_started_at
        {
            undecided = undecided.max(age(since.0));
        }
        let stored = incident.uid().and_then(|uid| stored.get(&uid).copied()).unwrap_or(0);
        for entry in status.outbox.iter().filter(|entry| entry.sequence > stored) {
            backlog += 1;
            unstored = unstored.max(age(entry.at.0));
        }
    }
    for phase in Phase::iter().filter(|phase| *phase != Phase::Completed) {
        let label = PhaseLabel {
            phase: phase.to_string(),
        };
        let count = phases.get(&phase).copied().unwrap_or(0);
        metrics.active.get_or_create(&label).set(count);
    }
    metrics.approval_oldest_seconds.set(undecided);
    metrics.outbox_backlog.set(backlog);
    metrics.outbox_oldest_seconds.set(unstored);
    let suspended = policies.filter(|policy| policy.spec.suspended).count();
    metrics
        .policies_suspended
        .set(i64::try_from(suspended).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    fn incident(uid: &str, phase: &str, since: &str, outbox: &[(i64, &str)]) -> Incident {
        let outbox: Vec<_> = outbox
            .iter()
            .map(|(sequence, at)| {
                json!({ "sequence": sequence, "at": at, "from": "Pending", "to": "Triaging", "actor": "operator", "reason": "Accepted",
                    "message": "", "payloadDigest": "", "previousHash": "", "hash": "" })
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident",
            "metadata": { "name": uid, "namespace": "shop", "uid": uid },
            "spec": { "title": "something is wrong" },
            "status": { "phase": phase, "phaseStartedAt": since, "sequence": 9, "outbox": outbox },
        }))
        .unwrap()
    }

    fn policy(suspended: bool) -> ResponsePolicy {
        serde_json::from_value(json!({
            "apiVersion": "firewatch.dev/v1alpha1", "kind": "ResponsePolicy",
            "metadata": { "name": "one" }, "spec": { "suspended": suspended },
        }))
        .unwrap()
    }

    #[test]
    fn the_oldest_counts_and_what_is_over_is_set_back() {
        let metrics = Metrics::default();
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let seen = [
            incident("a", "AwaitingApproval", "2026-01-01T00:09:00Z", &[]),
            incident(
                "b",
                "AwaitingApproval",
                "2026-01-01T00:01:00Z",
                &[(1, "2026-01-01T00:00:00Z"), (2, "2026-01-01T00:08:00Z")],
            ),
            incident(
                "c",
                "Investigating",
                "2026-01-01T00:00:00Z",
                &[(4, "2026-01-01T00:09:30Z")],
            ),
        ];
        let stored = HashMap::from([("b".to_owned(), 1)]);
        set(
            &metrics,
            seen.iter(),
            [policy(true), policy(false)].iter(),
            &stored,
            now,
        );
        let text = metrics.render();
        for line in [
            "firewatch_incidents_active{phase=\"AwaitingApproval\"} 2",
            "firewatch_incidents_active{phase=\"Investigating\"} 1",
            "firewatch_incidents_active{phase=\"Executing\"} 0",
            "firewatch_approval_oldest_waiting_seconds 540",
            // Of b only the second is not stored; the first, though older, is.
            "firewatch_audit_outbox_backlog 2",
            "firewatch_audit_outbox_oldest_seconds 120",
            "firewatch_policies_suspended 1",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is not in:\n{text}");
        }
        set(&metrics, [].iter(), [].iter(), &stored, now);
        let text = metrics.render();
        for line in [
            "firewatch_incidents_active{phase=\"AwaitingApproval\"} 0",
            "firewatch_approval_oldest_waiting_seconds 0",
            "firewatch_audit_outbox_backlog 0",
            "firewatch_audit_outbox_oldest_seconds 0",
            "firewatch_policies_suspended 0",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is not in:\n{text}");
        }
    }
}
