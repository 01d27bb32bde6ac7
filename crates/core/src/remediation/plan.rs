//! The plan: from the root cause's remedy to typed actions, or why a person must act, and what keeps it from happening again. Pure.
//! Must never plan a value that evidence does not fix, nor a change that somebody else would revert. Called by the Planner.

use super::action::Action;
use super::change::Change;
use super::remedies::{Proposal, Reach, propose};
use super::{assess, feedback};
use crate::api::ActionType;
use crate::api::status::PlanStatus;
use crate::diagnosis::remedy::Remedy;
use crate::diagnosis::{CaseFile, Diagnosis, Finding, RootCause, Verdict};
use crate::text::clip;

/// What the Planner must know beside the diagnosis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanningContext {
    /// What the incident's actions may change.
    pub reach: Reach,
    /// Which revision of the plan this is, from 1.
    pub revision: i64,
    /// Why another plan is wanted, in a person's words.
    pub feedback: Option<String>,
    /// Which actions may be planned; empty: all.
    pub allowed_actions: Vec<ActionType>,
}

/// The plan. Its digest is empty and its expiry absent until it is sealed.
pub fn plan(diagnosis: &Diagnosis, case: &CaseFile, context: &PlanningContext) -> PlanStatus {
    let mut plan = PlanStatus {
        revision: context.revision,
        digest: String::new(),
        risk: assess::risk(&[]),
        summary: "no change".to_owned(),
        actions: Vec::new(),
        long_term_fixes: Vec::new(),
        manual_reason: None,
        estimated_resolution_seconds: 0,
        expires_at: None,
    };
    let Some(root) = &diagnosis.root_cause else {
        let reason = match diagnosis.verdict {
            Verdict::Healthy => "nothing is wrong here, so there is nothing to repair",
            Verdict::Found | Verdict::Unexplained => "no root cause is shown, so there is nothing to repair",
        };
        plan.manual_reason = Some(reason.to_owned());
        return plan;
    };
    plan.long_term_fixes = long_term(root);
    let wishes = context.feedback.as_deref().map(feedback::read).unwrap_or_default();
    let mut notes = Vec::new();
    let mut found = None;
    let mut relief = None;
    for (finding, remedy) in candidates(root, context.revision, wishes.is_specific()) {
        match propose(&remedy, case, &context.reach) {
            Proposal::Actions {
                actions,
                diff,
                evidence,
            } => match permitted(wishes.apply(actions), context, &mut notes) {
                Ok(actions) => {
                    if let Remedy::Relief { reason, .. } | Remedy::CordonNode { reason, .. } = &remedy {
                        relief = Some(format!(
                            "This plan is relief, not a repair, and the trouble will come back: {reason}"
                        ));
                    }
                    found = Some((finding, actions, diff, evidence));
                    break;
                }
                Err(reason) => notes.push(reason),
            },
            Proposal::Manual { reason, manifest } => {
                if let Some(manifest) = manifest {
                    plan.long_term_fixes.insert(0, format!("{reason}:\n{manifest}"));
                }
                notes.push(reason);
            }
            Proposal::AtSource { reason, fix } => {
                plan.long_term_fixes.insert(0, fix);
                notes.push(reason);
                // A way around the tool that owns the object is no repair either.
                break;
            }
        }
    }
    if let Some((finding, actions, diff, evidence)) = found {
        fill(&mut plan, finding, &actions, diff.as_deref(), &evidence);
        plan.long_term_fixes.extend(relief);
        plan.long_term_fixes.extend(notes);
    } else {
        let reason = if notes.is_empty() {
            format!(
                "no remedy is known for {}: a person must look at {}",
                root.finding.category, root.finding.object
            )
        } else {
            notes.join("; otherwise: ")
        };
        plan.manual_reason = Some(clip(&reason, 1024));
    }
    plan.long_term_fixes.dedup();
    plan.long_term_fixes.truncate(8);
    for text in &mut plan.long_term_fixes {
        *text = clip(text, 4096);
    }
    plan
}

fn fill(plan: &mut PlanStatus, finding: &Finding, actions: &[Action], diff: Option<&str>, evidence: &[String]) {
    let mut cited = finding.evidence.clone();
    cited.extend(evidence.iter().filter(|id| !finding.evidence.contains(id)).cloned());
    plan.actions = actions
        .iter()
        .enumerate()
        .map(|(index, action)| action.to_planned(&format!("A{}", index + 1), &cited, diff.filter(|_| index == 0)))
        .collect();
    plan.risk = assess::risk(actions);
    plan.summary = assess::summary(actions);
    plan.estimated_resolution_seconds = assess::estimated_seconds(actions);
    if actions.iter().any(|action| {
        !matches!(
            action.change(),
            Change::RestartRollout { .. } | Change::RollbackRollout { .. } | Change::Scale { .. }
        )
    }) {
        plan.long_term_fixes.push(
            "Make the same change where the objects come from (their manifests in version control): the next deployment would undo it"
                .to_owned(),
        );
    }
}

/// Remedies in the order in which they are tried. A later revision of the plan starts with the next one, where a person only said
/// that another plan is wanted.
fn candidates(cause: &RootCause, revision: i64, same: bool) -> Vec<(&Finding, Remedy)> {
    let mut all = Vec::new();
    for remedy in cause.finding.remedy.iter().flat_map(Remedy::ways) {
        all.push((&cause.finding, remedy.clone()));
        if let Remedy::MissingConfigMapKey {
            key,
            value: Some(value),
            consumer,
            ..
        } = remedy
        {
            all.push((
                &cause.finding,
                Remedy::Env {
                    container: consumer.clone(),
                    name: key.clone(),
                    from: None,
                    to: Some(value.clone()),
                },
            ));
        }
    }
    let later = usize::try_from(revision.saturating_sub(1)).unwrap_or(0);
    if !same && !all.is_empty() {
        let by = later.checked_rem(all.len()).unwrap_or(0);
        all.rotate_left(by);
    }
    all
}

/// The actions that the namespace's policy lets be planned. A restart that only hastens things may be left out.
fn permitted(
    mut actions: Vec<Action>,
    context: &PlanningContext,
    notes: &mut Vec<String>,
) -> Result<Vec<Action>, String> {
    let allowed =
        |action: &Action| context.allowed_actions.is_empty() || context.allowed_actions.contains(&action.action_type());
    if actions.len() > 1 {
        let before = actions.len();
        actions.retain(|action| allowed(action) || action.action_type() != ActionType::RestartRollout);
        if actions.len() < before {
            notes.push(
                "Restart the pods by hand: the namespace's ResponsePolicy does not allow RestartRollout".to_owned(),
            );
        }
    }
    match actions.iter().find(|action| !allowed(action)) {
        Some(action) => Err(format!(
            "the namespace's ResponsePolicy does not allow {} ({})",
            action.action_type(),
            action.summary()
        )),
        None if actions.is_empty() => Err("nothing is left of the plan".to_owned()),
        None => Ok(actions),
    }
}

/// What would keep it from happening again.
fn long_term(cause: &RootCause) -> Vec<String> {
    let mut fixes = Vec::new();
    let mut ways = cause.finding.remedy.iter().flat_map(Remedy::ways);
    if let Some(Remedy::ScaleOut {
        workload,
        from,
        to,
        cpu_request,
        cpu_limit,
        ..
    }) = ways.find(|way| matches!(way, Remedy::ScaleOut { .. }))
    {
        if cpu_request.is_none() {
            let limit = cpu_limit
                .as_deref()
                .map(|limit| format!(" (its limit is {limit})"))
                .unwrap_or_default();
            fixes.push(format!(
                "Give the containers of {workload} a CPU request{limit}: without one an autoscaler has nothing to measure against"
            ));
        }
        fixes.push(format!(
            "Let an autoscaler follow the load instead of a person:\n{}",
            autoscaler(workload, *from, *to)
        ));
    }
    fixes.extend(cause.finding.long_term.iter().cloned());
    for other in &cause.also {
        fixes.push(format!("There is another, independent cause: {}", other.summary));
    }
    fixes
}

/// A manifest that holds between today's replicas and twice what is needed now.
fn autoscaler(workload: &crate::api::ObjectName, from: i32, to: i32) -> String {
    let namespace = workload.namespace.as_deref().unwrap_or("default");
    format!(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n  \
         scaleTargetRef: {{apiVersion: apps/v1, kind: {kind}, name: {name}}}\n  minReplicas: {min}\n  maxReplicas: {max}\n  metrics:\n  \
         - type: Resource\n    resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 70}}}}\n",
        name = workload.name,
        kind = workload.kind,
        min = from.max(1),
        max = to.saturating_mul(2).max(2),
    )
}
