//! The Commander's review, and the approval that a person decides. The operator makes approvals, pending ones, and decides none but
//! what a ResponsePolicy approves: then it names that policy, as it is then, and the executor's pod decides it again.

use firewatch_core::agents::{commander, messages};
use firewatch_core::api::approval::{RemediationApproval, RemediationApprovalStatus};
use firewatch_core::api::status::{ApprovalRef, Verdict};
use firewatch_core::api::{ApprovalState, Decision, Incident, Phase, PolicyRef};
use firewatch_core::approval::auto::{self, Proposal};
use firewatch_core::approval::digest;
use firewatch_core::approval::history::Own;
use firewatch_core::approval::verify::POLICY_PREFIX;
use firewatch_core::incident::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};

use super::transition;
use crate::incident::context::Context;
use crate::incident::observe::Observed;
use crate::incident::payload::{self, Record};
use crate::incident::perform::diagnose;
use crate::incident::reconcile::Error;
use crate::incident::record;

/// Reviews the plan; where it passes, asks people for a decision.
pub async fn review(ctx: &Context, mut incident: Incident, observed: &Observed) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let plan = incident
        .status
        .as_ref()
        .and_then(|s| s.plan.clone())
        .ok_or_else(|| Error::Missing("the plan".into()))?;
    let diagnosis = diagnose::recorded(ctx, &uid).await?;
    let review = commander::review(&plan, &diagnosis);
    let said = messages::review(&review);
    let step = ["review".to_owned(), plan.revision.to_string()];
    let data = serde_json::to_value(&review)?;
    let (_, kept) = payload::keep(
        ctx,
        &uid,
        &step.each_ref().map(String::as_str),
        Record {
            messages: said,
            data,
            ..Record::default()
        },
    )
    .await?;
    let passed = review.verdict == Verdict::Approve;
    let may_ask = passed && observed.policy.mode == firewatch_core::api::PolicyMode::Remediate;
    let approval = if may_ask {
        Some(ensure(ctx, &incident, &plan, observed).await?)
    } else {
        None
    };
    let mut status = incident.status.take().unwrap_or_default();
    status.review = Some(review.clone());
    if let Some(approval) = &approval {
        status.approval_ref = Some(ApprovalRef {
            name: approval.name_any(),
            uid: approval.uid().unwrap_or_default(),
        });
        status.approval_state = Some(ApprovalState::Pending);
        status.next_steps = vec![digest::approve_command(
            &approval.namespace().unwrap_or_default(),
            &approval.name_any(),
        )];
    }
    incident.status = Some(status);
    let what = match &approval {
        Some(approval) => {
            let line = digest::approve_command(&approval.namespace().unwrap_or_default(), &approval.name_any());
            transition(
                Phase::AwaitingApproval,
                Reason::ApprovalRequested,
                "commander",
                format!("the plan passed review and waits for a decision; to approve: {line}"),
                Some(kept),
            )
        }
        None => transition(
            Phase::Reviewing,
            if passed && !observed.policy.tied.is_empty() {
                Reason::PoliciesTied
            } else if passed {
                Reason::PolicySuggestOnly
            } else {
                Reason::ReviewRejected
            },
            "commander",
            review.reasons.join("; "),
            Some(kept),
        ),
    };
    record::commit(ctx, incident, &what, None).await?;
    Ok(())
}

/// Makes the plan's approval, or finds the one that it made: the name is the plan's.
async fn ensure(
    ctx: &Context,
    incident: &Incident,
    plan: &firewatch_core::api::status::PlanStatus,
    observed: &Observed,
) -> Result<RemediationApproval, Error> {
    let namespace = incident.namespace().unwrap_or_default();
    let api: Api<RemediationApproval> = Api::namespaced(ctx.client.clone(), &namespace);
    let spec = digest::seal(incident, plan, observed.policy.required_approvals(plan.risk))
        .map_err(|e| Error::Seal(e.to_string()))?;
    let name = digest::approval_name(&incident.name_any(), &spec.plan_digest);
    let mut wanted = RemediationApproval::new(&name, spec);
    wanted.metadata.namespace = Some(namespace.clone());
    wanted.metadata.labels = Some(payload::labels(&incident.uid().unwrap_or_default()));
    wanted.metadata.owner_references = Some(vec![OwnerReference {
        api_version: Incident::api_version(&()).into_owned(),
        kind: Incident::kind(&()).into_owned(),
        name: incident.name_any(),
        uid: incident.uid().ok_or(Error::Unidentified)?,
        controller: Some(true),
        block_owner_deletion: Some(false),
    }]);
    let made = match api.create(&PostParams::default(), &wanted).await {
        Ok(made) => made,
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let found = api.get(&name).await?;
            if found.spec.plan_digest != wanted.spec.plan_digest || found.spec.incident_ref != wanted.spec.incident_ref
            {
                return Err(Error::Foreign(format!("RemediationApproval {name}")));
            }
            found
        }
        Err(error) => return Err(error.into()),
    };
    if made.status.is_none() {
        let status = RemediationApprovalStatus {
            state: Some(ApprovalState::Pending),
            approve_command: Some(digest::approve_command(&namespace, &name)),
            ..RemediationApprovalStatus::default()
        };
        set_status(ctx, &namespace, &name, &serde_json::to_value(&status)?).await?;
    }
    Ok(made)
}

/// Writes the operator's part of an approval's status; claims are never among it.
async fn set_status(ctx: &Context, namespace: &str, name: &str, status: &serde_json::Value) -> Result<(), Error> {
    let api: Api<RemediationApproval> = Api::namespaced(ctx.client.clone(), namespace);
    let patch = serde_json::json!({ "status": status });
    match api
        .patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Notes where an approval stands, in its own status.
pub async fn note_state(ctx: &Context, incident: &Incident, state: ApprovalState) -> Result<(), Error> {
    let Some(approval) = incident.status.as_ref().and_then(|s| s.approval_ref.clone()) else {
        return Ok(());
    };
    let decided = matches!(state, ApprovalState::Approved | ApprovalState::Rejected);
    let mut status = serde_json::json!({ "state": state });
    if decided && let Some(fields) = status.as_object_mut() {
        fields.insert("decidedAt".into(), serde_json::to_value(super::execute::now())?);
    }
    set_status(ctx, &incident.namespace().unwrap_or_default(), &approval.name, &status).await
}

/// Records that a policy approves the plan: first in the approval, which admission guards, then in the incident. Cut off in between, the
/// second is made up for (`policy`: none) before anything is executed.
pub async fn by_policy(ctx: &Context, mut incident: Incident, policy: Option<PolicyRef>) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let namespace = incident.namespace().unwrap_or_default();
    let reference = incident.status.as_ref().and_then(|s| s.approval_ref.clone());
    let reference = reference.ok_or_else(|| Error::Missing("the approval".into()))?;
    let api: Api<RemediationApproval> = Api::namespaced(ctx.client.clone(), &namespace);
    let mut approval = api.get(&reference.name).await?;
    if approval.uid().as_deref() != Some(reference.uid.as_str()) {
        return Err(Error::Foreign(format!("RemediationApproval {}", reference.name)));
    }
    if let (Decision::Pending, Some(policy)) = (approval.spec.decision, &policy) {
        let proposal = Proposal {
            incident: &incident,
            actions: &approval.spec.actions,
            risk: approval.spec.risk,
            required_approvals: approval.spec.required_approvals,
            made: None,
            own: Own::default(),
        };
        // Under the resourceVersion that was read: a person who was faster has decided.
        let patch = serde_json::json!({
            "metadata": { "uid": approval.uid(), "resourceVersion": approval.resource_version() },
            "spec": {
                "decision": Decision::Approved,
                "approver": format!("{POLICY_PREFIX}{}", policy.name),
                "reason": auto::sentence(policy, &proposal),
                "policy": policy,
            },
        });
        approval = api
            .patch(&reference.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
    }
    let spec = &approval.spec;
    let Some(policy) = spec.policy.clone() else {
        // A person decided meanwhile: that is seen with the next look.
        return Ok(());
    };
    let message = spec.reason.clone().unwrap_or_default();
    let step = ["policy", reference.uid.as_str()];
    let data = serde_json::json!({ "approval": reference.name, "planDigest": spec.plan_digest, "policy": policy, "reason": message });
    let record = Record {
        data,
        ..Record::default()
    };
    let (_, kept) = payload::keep(ctx, &uid, &step, record).await?;
    note_state(ctx, &incident, ApprovalState::Approved).await?;
    let mut status = incident.status.take().unwrap_or_default();
    status.approval_state = Some(ApprovalState::Approved);
    status.next_steps.clear();
    incident.status = Some(status);
    let actor = format!("{POLICY_PREFIX}{}", policy.name);
    let what = transition(
        Phase::AwaitingApproval,
        Reason::ApprovedByPolicy,
        actor,
        message,
        Some(kept),
    );
    record::commit(ctx, incident, &what, None).await?;
    Ok(())
}

/// A person asked for another plan: the present one is void.
pub async fn revise(ctx: &Context, mut incident: Incident) -> Result<(), Error> {
    note_state(ctx, &incident, ApprovalState::Superseded).await?;
    let feedback = incident.spec.revision_feedback.clone().unwrap_or_default();
    let mut status = incident.status.take().unwrap_or_default();
    if let Some(plan) = &mut status.plan {
        plan.revision = plan.revision.saturating_add(1);
        plan.digest = String::new();
        plan.actions.clear();
    }
    status.review = None;
    status.approval_ref = None;
    status.approval_state = None;
    incident.status = Some(status);
    let message = format!("another plan is wanted: {feedback}");
    record::commit(
        ctx,
        incident,
        &transition(Phase::Planning, Reason::PlanRevised, "user", message, None),
        None,
    )
    .await?;
    Ok(())
}
