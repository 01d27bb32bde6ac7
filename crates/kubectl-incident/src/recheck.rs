//! Whether a stored plan is what it seems: everything that a person reads is computed again from the typed actions, here, on the
//! person's own machine, before a decision is written. The executor does the same; this is so that nobody approves what it refuses.

use firewatch_core::api::{Incident, PlannedAction, RemediationApproval};
use firewatch_core::approval::digest::of_approval;
use firewatch_core::remediation::assess::{recomputed, risk, summary};
use firewatch_core::remediation::{Action, ActionError};
use kube::ResourceExt;

use crate::render::text::{clean, shell};

/// The action with command, way back, risk and impact computed from its type, target and parameters.
pub fn rendered(action: &PlannedAction) -> Result<PlannedAction, ActionError> {
    recomputed(action)
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
    match of_approval(approval) {
        Ok(digest) if digest.as_str() == spec.plan_digest => {}
        Ok(digest) => differences.push(format!(
            "spec.planDigest: stored as {}, but what is stored beside it has the digest {}",
            clean(&spec.plan_digest),
            digest.as_str()
        )),
        Err(why) => differences.push(format!("spec: has no digest: {}", clean(&why.to_string()))),
    }
    let actions: Result<Vec<Action>, ActionError> = spec.actions.iter().map(Action::try_from).collect();
    if let Ok(actions) = actions {
        if risk(&actions) != spec.risk {
            differences.push(format!("spec.risk: stored as {}, but is {}", spec.risk, risk(&actions)));
        }
        let meant = summary(&actions);
        if meant != spec.summary {
            differences.push(format!(
                "spec.summary: stored as\n      {}\n    but means\n      {}",
                clean(&spec.summary),
                clean(&meant)
            ));
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
            Err(why) => differences.push(format!("action {id}: cannot be rendered: {}", clean(&why.to_string()))),
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
                if action.impact != again.impact {
                    differences.push(format!(
                        "action {id}: impact is stored as \"{}\", but is \"{}\"",
                        clean(&action.impact),
                        clean(&again.impact)
                    ));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::render::fixture;

    #[test]
    fn a_sealed_plan_is_what_it_seems() {
        assert_eq!(
            differences(&fixture::incident(), &fixture::approval()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_text_that_a_person_reads_is_compared() {
        type Tamper = fn(&mut PlannedAction);
        let of_action: [(&str, Tamper); 5] = [
            ("action A1: command", |a| a.command = vec!["kubectl".to_owned()]),
            ("action A1: rollback", |a| a.rollback = Vec::new()),
            ("action A1: impact", |a| a.impact = "none".to_owned()),
            ("spec.planDigest", |a| {
                a.parameters.to = Some("http://elsewhere".to_owned());
            }),
            ("action A1: cannot be rendered", |a| a.parameters.field = None),
        ];
        for (named, change) in of_action {
            let mut approval = fixture::approval();
            change(approval.spec.actions.first_mut().unwrap());
            let found = differences(&fixture::incident(), &approval);
            assert!(found.iter().any(|text| text.starts_with(named)), "{named}: {found:?}");
        }
        let mut approval = fixture::approval();
        approval.spec.risk = firewatch_core::api::Risk::High;
        approval.spec.summary = "nothing of note".to_owned();
        let found = differences(&fixture::incident(), &approval);
        for named in ["spec.risk", "spec.summary"] {
            assert!(found.iter().any(|text| text.starts_with(named)), "{named}: {found:?}");
        }
    }
}
