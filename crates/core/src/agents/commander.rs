//! The Incident Commander: triage, routing, the consolidated diagnosis, and the review of the plan. Runs no command; its review
//! comes before a person's decision and never replaces it. Called by the operator's loop.

use super::model::consensus;
use super::run::AgentReport;
use crate::api::incident::IncidentSpec;
use crate::api::policy::Route;
use crate::api::status::{PlanStatus, Review, Triage, Verdict as ReviewVerdict};
use crate::api::{ActionType, Impact, Risk, Role, Severity};
use crate::diagnosis::{self, CaseFile, Confidence, Diagnosis, Finding, Verdict, diagnose, questions};

/// A plan with actions is put before a person only above this.
const LEAST_CONFIDENCE: Confidence = Confidence::hundredths(50);

/// How much it matters, what kind of trouble it looks like, how many are affected, and who looks at it, with the reason.
pub fn triage(spec: &IncidentSpec, case: Option<&CaseFile>) -> Triage {
    let text = words(spec);
    let (impact, seen) = case.map_or((Impact::Unknown, None), assess);
    let category = category(&text);
    let (severity, why) = match spec.severity {
        Some(severity) => (severity, "severity as given".to_owned()),
        None => assessed(spec, &text, impact),
    };
    let seen = seen.map_or(String::new(), |seen| format!("; {seen}"));
    Triage {
        severity,
        category: category.to_owned(),
        impact,
        agents: vec![Role::SreInvestigator, Role::CodeAnalyst],
        rationale: format!(
            "{why}; the words of the report point to {category}{seen}. Both specialists look, in parallel: the cluster's state and the program's own words explain each other"
        ),
    }
}

fn words(spec: &IncidentSpec) -> String {
    let alert = spec.alert.as_ref();
    let parts = [
        Some(spec.title.as_str()),
        spec.description.as_deref(),
        alert.and_then(|alert| alert.name.as_deref()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// What kind of trouble the report speaks of. Only for routing and filters: the diagnosis does not read it.
fn category(text: &str) -> &'static str {
    let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if any(&["slow", "latency", "timeout", "times out", "seconds", "p99", "throttl"]) {
        "latency"
    } else if any(&[
        "memory", "oom", "cpu", "disk", "quota", "pending", "scale", "capacity", "full",
    ]) {
        "capacity"
    } else if any(&["config", "environment", "secret", "setting", "certificate"]) {
        "configuration"
    } else if any(&[
        "down",
        "crash",
        "restart",
        "unavailable",
        "fail",
        "error",
        "5xx",
        "502",
        "503",
        "not ready",
        "unhealthy",
    ]) {
        "availability"
    } else {
        "unknown"
    }
}

fn assessed(spec: &IncidentSpec, text: &str, impact: Impact) -> (Severity, String) {
    let labelled = spec
        .alert
        .as_ref()
        .and_then(|alert| alert.labels.get("severity"))
        .map(|label| label.to_lowercase());
    let from_label = match labelled.as_deref() {
        Some("critical" | "page" | "emergency") => Some(Severity::Critical),
        Some("high" | "error" | "major") => Some(Severity::High),
        Some("warning" | "medium" | "minor") => Some(Severity::Medium),
        Some("info" | "low" | "none") => Some(Severity::Low),
        _ => None,
    };
    if let Some(severity) = from_label {
        return (severity, "severity from the alert's label".to_owned());
    }
    match impact {
        Impact::Outage => (Severity::Critical, "no replica of the target serves".to_owned()),
        Impact::Degraded => (Severity::High, "some replicas of the target do not serve".to_owned()),
        Impact::None => (Severity::Low, "every replica of the target serves".to_owned()),
        Impact::Unknown
            if ["down", "outage", "every", "all users", "cannot"]
                .iter()
                .any(|word| text.contains(word)) =>
        {
            (Severity::High, "the report speaks of an outage".to_owned())
        }
        Impact::Unknown => (
            Severity::Medium,
            "nothing is known yet of how many are affected".to_owned(),
        ),
    }
}

/// How many are affected, from what the case file holds of the target.
fn assess(case: &CaseFile) -> (Impact, Option<String>) {
    let view = diagnosis::view(case);
    let targets = questions::targets(&view.facts);
    let services: Vec<_> = targets.iter().filter(|workload| workload.is_service()).collect();
    if services.is_empty() {
        return (Impact::Unknown, None);
    }
    let ready: usize = services.iter().map(|workload| workload.ready()).sum();
    let desired: usize = services
        .iter()
        .map(|workload| {
            workload
                .desired
                .map_or(workload.pods.len(), |n| usize::try_from(n).unwrap_or(0))
        })
        .sum();
    let impact = match (ready, desired) {
        (_, 0) => Impact::Unknown,
        (0, _) => Impact::Outage,
        (ready, desired) if ready < desired => Impact::Degraded,
        _ => Impact::None,
    };
    (impact, Some(format!("{ready} of {desired} replicas serve")))
}

/// Whether the plan may be put before a person, and under which conditions.
pub fn review(plan: &PlanStatus, diagnosis: &Diagnosis) -> Review {
    let mut refusals = Vec::new();
    let mut reasons = Vec::new();
    let mut conditions = Vec::new();
    match (&diagnosis.root_cause, diagnosis.verdict) {
        (Some(root), Verdict::Found) => {
            reasons.push(format!(
                "the cause rests on {} at confidence {}",
                root.finding.evidence.join(", "),
                root.finding.confidence
            ));
            if root.finding.confidence < LEAST_CONFIDENCE && !plan.actions.is_empty() {
                refusals.push(format!(
                    "confidence {} in the cause is below {LEAST_CONFIDENCE}: too little to change anything on",
                    root.finding.confidence
                ));
            }
            if !root.also.is_empty() {
                conditions.push(format!(
                    "{} other causes stand beside this one; the plan is about the first alone",
                    root.also.len()
                ));
            }
        }
        _ if !plan.actions.is_empty() => refusals.push("no cause is shown, so nothing may be changed".to_owned()),
        _ => reasons.push("the plan changes nothing".to_owned()),
    }
    for action in &plan.actions {
        if action.evidence.is_empty() {
            refusals.push(format!("action {} cites no evidence", action.id));
        }
        if action.target.uid.is_empty() {
            refusals.push(format!(
                "action {} is not pinned to one object: its target has no uid",
                action.id
            ));
        }
        match action.action_type {
            ActionType::RestartRollout => {
                conditions.push(format!("action {} cannot be taken back: pods are replaced", action.id));
            }
            ActionType::RollbackRollout => conditions.push(format!(
                "action {} brings back the whole earlier template: read its difference before approving",
                action.id
            )),
            _ if action.rollback.is_empty() => conditions.push(format!("action {} has no inverse", action.id)),
            _ => {}
        }
    }
    if plan.risk == Risk::High {
        conditions.push("the risk is high: a second person must confirm where the policy asks for it".to_owned());
    }
    if plan.actions.is_empty() {
        reasons.push(
            plan.manual_reason
                .clone()
                .unwrap_or_else(|| "there is nothing that Firewatch may do itself".to_owned()),
        );
    } else {
        reasons.push(format!(
            "{} actions, highest risk {}, each with its ground in evidence",
            plan.actions.len(),
            plan.risk
        ));
        conditions.push(
            "the objects are as observed when the plan was made; the API server refuses the change otherwise"
                .to_owned(),
        );
    }
    let verdict = if refusals.is_empty() {
        ReviewVerdict::Approve
    } else {
        ReviewVerdict::Reject
    };
    let list = if refusals.is_empty() { reasons } else { refusals };
    Review {
        verdict,
        reasons: bounded(list),
        conditions: bounded(conditions),
        concerns: bounded(concerns(diagnosis)),
    }
}

/// What a person must weigh, so that no policy may approve in their place: another cause beside, or a specialist who sees it otherwise.
fn concerns(diagnosis: &Diagnosis) -> Vec<String> {
    let beside = diagnosis.root_cause.iter().flat_map(|root| &root.also);
    let beside = beside.map(|other| format!("another cause stands beside this one: {}", other.summary));
    beside.chain(diagnosis.concerns.iter().cloned()).collect()
}

/// The same triage with the agents that a policy names for such an incident: those of the first route that fits. One that names no
/// specialist changes nothing, since then nobody would look.
pub fn routed(mut triage: Triage, spec: &IncidentSpec, routes: &[Route]) -> Triage {
    let name = spec.alert.as_ref().and_then(|alert| alert.name.as_ref());
    let fits = |route: &&Route| {
        route.min_severity.is_none_or(|least| triage.severity >= least)
            && route.alert_name.as_ref().is_none_or(|wanted| name == Some(wanted))
    };
    let Some(route) = routes.iter().find(fits) else {
        return triage;
    };
    let agents: Vec<Role> = [Role::SreInvestigator, Role::CodeAnalyst]
        .into_iter()
        .filter(|role| route.agents.contains(role))
        .collect();
    if agents.is_empty() || agents == triage.agents {
        return triage;
    }
    let names: Vec<String> = agents.iter().map(ToString::to_string).collect();
    triage.rationale = crate::text::clip(
        &format!(
            "{}; the ResponsePolicy lets {} alone look",
            triage.rationale,
            names.join(", ")
        ),
        1024,
    );
    triage.agents = agents;
    triage
}

fn bounded(list: Vec<String>) -> Vec<String> {
    list.into_iter()
        .take(8)
        .map(|text| crate::text::clip(&text, 1024))
        .collect()
}

/// One diagnosis from both specialists' findings and the whole case file.
pub fn consolidate(reports: &[AgentReport], case: &CaseFile) -> Diagnosis {
    let mut diagnosis = diagnose(case);
    // What a specialist reported and the last look no longer shows is kept, as long as its evidence is in the file.
    for reported in reports.iter().flat_map(|report| &report.findings) {
        let same = |known: &Finding| known.object == reported.object && known.category == reported.category;
        if diagnosis.findings.len() < 32
            && !diagnosis.findings.iter().any(same)
            && reported.evidence.iter().all(|id| case.has_evidence(id))
        {
            let mut kept = reported.clone();
            kept.id = format!("F{}", diagnosis.findings.len() + 1);
            diagnosis.findings.push(kept);
        }
    }
    consensus::apply(&mut diagnosis, reports);
    diagnosis
}
