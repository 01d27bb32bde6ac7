//! Hand-made objects for tests of rendering: one incident that waits for approval, and the same one repaired.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use firewatch_core::api::{Incident, PlannedAction, RemediationApproval};
use firewatch_core::approval::digest::of_approval;
use firewatch_core::remediation::Action;
use firewatch_core::remediation::assess::{self, recomputed};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

pub fn now() -> Timestamp {
    "2026-03-01T03:02:00Z".parse().unwrap()
}

/// As the planner would make it: every text computed from the typed fields.
fn action() -> PlannedAction {
    let planned = serde_json::from_value(json!({
        "id": "A1", "type": "PatchConfigMapKey", "risk": "low",
        "target": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "checkout-settings", "uid": "5f0c5f0c-0000-4000-8000-000000000001"},
        "parameters": {"field": "PAYMENT_GATEWAY_URL", "to": "http://payment-gateway:8080/v1"},
        "command": [], "impact": "", "evidence": ["E1", "E4"]
    }))
    .unwrap();
    recomputed(&planned).expect("the fixture's action is one of the catalogue")
}

fn summary() -> String {
    assess::summary(&[Action::try_from(&action()).unwrap()])
}

pub fn incident() -> Incident {
    serde_json::from_value(json!({
        "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident",
        "metadata": {"name": "checkout-restarts", "namespace": "shop", "uid": "11aa", "creationTimestamp": "2026-03-01T03:00:10Z"},
        "spec": {"title": "checkout pods restart", "target": {"kind": "Deployment", "name": "checkout"}},
        "status": {
            "phase": "AwaitingApproval", "phaseStartedAt": "2026-03-01T03:00:31Z", "approvalState": "Pending",
            "approvalRef": {"name": "checkout-restarts-0123456789abcdef0123456789abcdef", "uid": "77bb"},
            "triage": {"severity": "critical", "category": "availability", "impact": "outage",
                "agents": ["sre-investigator", "code-analyst"], "rationale": "no pod of Deployment checkout is ready"},
            "agents": [{"role": "sre-investigator", "engine": "Rules", "state": "Succeeded", "message": "checkout ends with exit code 1 at every start"}],
            "findings": [{"id": "F1", "agent": "code-analyst", "category": "MissingEnvironmentVariable", "summary": "checkout ends at start: PAYMENT_GATEWAY_URL is not set",
                "object": {"kind": "Deployment", "namespace": "shop", "name": "checkout"}, "confidence": "0.95", "evidence": ["E1", "E4"]}],
            "rootCause": {"category": "MissingEnvironmentVariable", "confidence": "0.95", "evidence": ["E1", "E4"],
                "summary": "checkout ends at start because the setting PAYMENT_GATEWAY_URL is not there; ConfigMap checkout-settings, from which it takes its environment, has no such key.",
                "object": {"kind": "Deployment", "namespace": "shop", "name": "checkout"},
                "chain": ["no pod of checkout is ready: its container has ended 4 times with exit code 1", "its log ends with KeyError: 'PAYMENT_GATEWAY_URL'"]},
            "plan": {"revision": 1, "digest": approval().spec.plan_digest, "risk": action().risk, "summary": summary(),
                "actions": [action()], "longTermFixes": ["Check required settings before a rollout, for instance in an init container."],
                "estimatedResolutionSeconds": 60},
            "review": {"verdict": "Approve", "reasons": ["the change is reversible and touches one key"]},
            "evidence": [
                {"id": "E1", "agent": "sre-investigator", "command": "kubectl get pods,deployments,configmaps -n shop -o json", "state": "Complete", "sha256": "sha256:1"},
                {"id": "E2", "agent": "sre-investigator", "command": "kubectl get nodes -o json", "state": "Complete", "sha256": "sha256:2"},
                {"id": "E4", "agent": "code-analyst", "command": "kubectl logs checkout-7d4-x2 -n shop -c checkout --previous", "state": "Truncated", "sha256": "sha256:4"}
            ]
        }
    }))
    .expect("the fixture is an Incident")
}

pub fn approval() -> RemediationApproval {
    approval_until("2026-03-01T03:15:00Z".parse().unwrap())
}

/// Sealed like a real one, and void after `expires`.
pub fn approval_until(expires: Timestamp) -> RemediationApproval {
    let mut approval: RemediationApproval = serde_json::from_value(json!({
        "apiVersion": "firewatch.dev/v1alpha1", "kind": "RemediationApproval",
        "metadata": {"name": "checkout-restarts-0123456789abcdef0123456789abcdef", "namespace": "shop", "uid": "77bb"},
        "spec": {"incidentRef": {"name": "checkout-restarts", "uid": "11aa"}, "planDigest": format!("sha256:{}", "0".repeat(64)), "revision": 1,
            "summary": summary(), "risk": action().risk, "actions": [action()],
            "expiresAt": expires.to_string()},
        "status": {"state": "Pending", "approveCommand": "kubectl patch rap checkout-restarts-0123456789abcdef0123456789abcdef -n shop --type=merge -p '{\"spec\":{\"decision\":\"Approved\",\"approver\":\"YOU\",\"reason\":\"WHY\"}}'"}
    }))
    .expect("the fixture is a RemediationApproval");
    approval.spec.plan_digest = of_approval(&approval).unwrap().as_str().to_owned();
    approval
}

pub fn remediated() -> Incident {
    let mut incident = incident();
    let status = incident.status.as_mut().unwrap();
    status.phase = firewatch_core::api::Phase::Completed;
    status.outcome = Some(firewatch_core::api::Outcome::Remediated);
    status.message = Some("All checks hold.".to_owned());
    status.execution = serde_json::from_value(json!({"state": "Succeeded",
        "steps": [{"action": "A1", "command": ["kubectl"], "exitCode": 0, "durationMs": 112}]}))
    .unwrap();
    status.verification = serde_json::from_value(json!({"checks": [
        {"name": "rollout complete", "passed": true, "observed": "1 of 1 pods available"},
        {"name": "cause gone", "passed": true, "observed": "MissingEnvironmentVariable is not found again"}]}))
    .unwrap();
    incident
}

pub fn condition(type_: &str, status: &str, reason: &str) -> Condition {
    serde_json::from_value(json!({"type": type_, "status": status, "reason": reason, "message": "for the test", "lastTransitionTime": "2026-03-01T03:00:00Z"})).unwrap()
}
