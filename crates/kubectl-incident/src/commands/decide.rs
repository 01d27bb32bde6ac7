//! `kubectl incident approve` and `reject`: the plan is shown as its typed actions say, not as its stored text says; then the
//! decision is written in the name that the API server knows the caller by. What admission refuses is told, never worked around.

use firewatch_core::api::{Decision, Incident, RemediationApproval};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{approval_of, columns, confirmed, interactive};
use crate::cli::{ApproveArgs, RejectArgs};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::exit;
use crate::recheck;
use crate::render::plan::{self, Detail};
use crate::render::style::{Palette, Tone};
use crate::render::text::{clean, clock, span};

/// Approves the plan that waits.
pub async fn approve(cluster: &Cluster, args: &ApproveArgs) -> Result<u8> {
    approve_as(cluster, args, interactive()).await
}

/// The same, where it is known whether there is somebody to ask.
pub(crate) async fn approve_as(cluster: &Cluster, args: &ApproveArgs, interactive: bool) -> Result<u8> {
    let (incident, approval) = pending(cluster, &args.name).await?;
    for line in sheet(&incident, &approval, Timestamp::now()) {
        eprintln!("{line}");
    }
    guard(&incident, &approval)?;
    if args.confirm {
        confirmable(&approval)?;
    }
    let me = cluster.whoami().await?;
    let change = approval_patch(&approval, &me, args.reason.as_deref())?;
    if !args.yes && !confirmed(&format!("Carry out exactly this, as {me}?"), interactive).await? {
        eprintln!("Not approved; nothing was changed.");
        return Ok(exit::OK);
    }
    write(cluster, &approval, &change, "approve").await?;
    let waits = approval.spec.required_approvals == 2 && approval.spec.decision == Decision::Pending;
    let rest = if waits {
        "; a second person must approve too"
    } else {
        ""
    };
    eprintln!(
        "approved by {me}{rest}. To follow it: kubectl incident watch {} -n {}",
        args.name, cluster.namespace
    );
    Ok(exit::OK)
}

/// Rejects the plan that waits.
pub async fn reject(cluster: &Cluster, args: &RejectArgs) -> Result<u8> {
    let (_, approval) = pending(cluster, &args.name).await?;
    if approval.spec.decision != Decision::Pending {
        return Err(Error::State(format!(
            "the plan is approved already, and a decision is final; to stop it: kubectl incident cancel {} -n {}",
            args.name, cluster.namespace
        )));
    }
    let me = cluster.whoami().await?;
    eprintln!("Plan: {}", clean(&approval.spec.summary));
    if !args.yes
        && !confirmed(
            &format!("Reject it, as {me}? The incident ends, and nothing is changed."),
            interactive(),
        )
        .await?
    {
        eprintln!("Left as it is.");
        return Ok(exit::OK);
    }
    let change = json!({"spec": {"decision": "Rejected", "approver": me, "reason": args.reason}});
    write(cluster, &approval, &change, "reject").await?;
    eprintln!("rejected by {me}; nothing is changed");
    Ok(exit::OK)
}

/// The incident, and its approval that still waits for somebody.
pub async fn pending(cluster: &Cluster, name: &str) -> Result<(Incident, RemediationApproval)> {
    let incident = cluster.incident(name).await?;
    let phase = incident.status.as_ref().map(|status| status.phase).unwrap_or_default();
    let approval = approval_of(cluster, &incident).await?.ok_or_else(|| {
        Error::State(format!(
            "incident {name} has no plan that waits for a decision (phase {phase}); `kubectl incident show {name} -n {}` tells where it stands",
            cluster.namespace
        ))
    })?;
    undecided(&approval, Timestamp::now())?;
    Ok((incident, approval))
}

/// Whether somebody may still decide.
fn undecided(approval: &RemediationApproval, now: Timestamp) -> Result<()> {
    let spec = &approval.spec;
    let state = |why: String| Err(Error::State(why));
    if let Some(claim) = approval.status.as_ref().and_then(|status| status.claim.as_ref()) {
        return state(format!(
            "this plan is being carried out already (pod {})",
            claim.pod_name.as_deref().unwrap_or(&claim.pod_uid)
        ));
    }
    let by = spec.approver.as_deref().unwrap_or("somebody");
    match (spec.decision, spec.required_approvals, &spec.confirmation) {
        (Decision::Rejected, ..) => return state(format!("this plan was rejected by {by}; a decision is final")),
        (Decision::Approved, 1, _) => return state(format!("this plan was approved by {by} already")),
        (Decision::Approved, _, Some(second)) => {
            return state(format!(
                "this plan was approved by {by} and {} already",
                second.approver
            ));
        }
        _ => {}
    }
    if spec.expires_at.0 <= now {
        return state(format!(
            "this plan expired at {}; create the incident again to get a new one",
            clock(spec.expires_at.0)
        ));
    }
    Ok(())
}

/// The plan as it is put before a person: rendered from the typed actions of the approval.
pub fn sheet(incident: &Incident, approval: &RemediationApproval, now: Timestamp) -> Vec<String> {
    let palette = Palette::for_stdout();
    let spec = &approval.spec;
    let mut lines = vec![format!(
        "Incident {}/{}: {}",
        incident.namespace().unwrap_or_default(),
        incident.name_any(),
        clean(&incident.spec.title)
    )];
    if let Some(cause) = incident.status.as_ref().and_then(|status| status.root_cause.as_ref()) {
        lines.push(format!(
            "Cause    {} (confidence {})",
            clean(&cause.summary),
            clean(&cause.confidence)
        ));
    }
    lines.push(format!("Plan     {}", clean(&spec.summary)));
    let left = spec.expires_at.0.as_second() - now.as_second();
    lines.push(format!(
        "         revision {}, {}, {} needed, void at {} ({} left)",
        spec.revision,
        palette.paint(plan::risk_tone(spec.risk), &format!("risk {}", spec.risk)),
        if spec.required_approvals == 2 {
            "two approvals"
        } else {
            "one approval"
        },
        clock(spec.expires_at.0),
        span(left),
    ));
    lines.push(palette.paint(Tone::Faint, &format!("         {}", spec.plan_digest)));
    for action in &spec.actions {
        lines.extend(plan::action(
            &recheck::rendered(action).unwrap_or_else(|_| action.clone()),
            Detail::Full,
            columns(),
            palette,
        ));
    }
    lines
}

/// Refuses a plan that is not what it seems.
pub fn guard(incident: &Incident, approval: &RemediationApproval) -> Result<()> {
    let differences = recheck::differences(incident, approval);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::PlanMismatch(format!(
        "DO NOT APPROVE THIS PLAN, not even by hand: what is stored is not what its typed actions mean.\n  - {}\n\
         Nothing was approved. Reject it (kubectl incident reject {}), and find out who wrote RemediationApproval {}.",
        differences.join("\n  - "),
        incident.name_any(),
        approval.name_any(),
    )))
}

/// Whether this is a second person's turn.
fn confirmable(approval: &RemediationApproval) -> Result<()> {
    let why = if approval.spec.required_approvals != 2 {
        "this plan needs one approval only: there is nothing to confirm; leave out --confirm to approve it"
    } else if approval.spec.decision == Decision::Pending {
        "nobody has approved this plan yet; leave out --confirm to approve it first, and another person confirms it then"
    } else {
        return Ok(());
    };
    Err(Error::State(why.to_owned()))
}

/// The patch that approves, or confirms where one person has approved and two must.
pub fn approval_patch(approval: &RemediationApproval, me: &str, reason: Option<&str>) -> Result<serde_json::Value> {
    if approval.spec.requested_by.as_deref() == Some(me) && approval.spec.required_approvals == 2 {
        eprintln!("You asked for this incident yourself; where duties are separated, somebody else must approve.");
    }
    match approval.spec.decision {
        Decision::Pending => Ok(json!({"spec": {"decision": "Approved", "approver": me, "reason": reason}})),
        Decision::Approved if approval.spec.approver.as_deref() == Some(me) => Err(Error::State(format!(
            "you ({me}) approved this plan already; a second person must confirm it"
        ))),
        Decision::Approved => Ok(json!({"spec": {"confirmation": {"approver": me, "reason": reason}}})),
        Decision::Rejected => Err(Error::State("this plan was rejected; a decision is final".to_owned())),
    }
}

/// Writes the decision. The uid makes sure that it is the approval that was read.
pub async fn write(
    cluster: &Cluster,
    approval: &RemediationApproval,
    change: &serde_json::Value,
    verb: &str,
) -> Result<()> {
    let mut change = change.clone();
    if let (Some(uid), Some(body)) = (approval.uid(), change.as_object_mut()) {
        body.insert("metadata".to_owned(), json!({"uid": uid}));
    }
    cluster
        .approvals()
        .patch(&approval.name_any(), &PatchParams::default(), &Patch::Merge(change))
        .await
        .map_err(|error| Error::from_kube(format!("{verb} plan {}", approval.name_any()), &error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::render::fixture;
    use firewatch_core::api::Confirmation;

    #[test]
    fn a_second_person_confirms_and_the_first_cannot() {
        let mut approval = fixture::approval();
        approval.spec.required_approvals = 2;
        approval.spec.decision = Decision::Approved;
        approval.spec.approver = Some("alice".to_owned());
        assert_eq!(undecided(&approval, fixture::now()).err().map(|e| e.to_string()), None);
        assert_eq!(
            approval_patch(&approval, "alice", None).unwrap_err().reason(),
            "WrongState"
        );
        let change = approval_patch(&approval, "bob", Some("looked at it")).unwrap();
        assert_eq!(
            change,
            json!({"spec": {"confirmation": {"approver": "bob", "reason": "looked at it"}}})
        );
        approval.spec.confirmation = Some(Confirmation {
            approver: "bob".to_owned(),
            reason: None,
        });
        assert!(
            undecided(&approval, fixture::now())
                .unwrap_err()
                .to_string()
                .contains("alice and bob")
        );
    }

    #[test]
    fn confirming_is_for_what_another_has_approved_and_two_must() {
        let mut approval = fixture::approval();
        approval.spec.required_approvals = 1;
        assert!(
            confirmable(&approval)
                .unwrap_err()
                .to_string()
                .contains("one approval only")
        );
        approval.spec.required_approvals = 2;
        let early = confirmable(&approval).unwrap_err();
        assert!(early.to_string().contains("nobody has approved"), "{early}");
        approval.spec.decision = Decision::Approved;
        assert!(confirmable(&approval).is_ok());
    }

    #[test]
    fn what_is_decided_or_void_is_not_asked_again() {
        let mut approval = fixture::approval();
        let later = fixture::now()
            .checked_add(k8s_openapi::jiff::SignedDuration::from_mins(20))
            .unwrap();
        assert!(
            undecided(&approval, later)
                .unwrap_err()
                .to_string()
                .contains("expired at 03:15 UTC")
        );
        approval.spec.decision = Decision::Rejected;
        approval.spec.approver = Some("bob".to_owned());
        assert!(
            undecided(&approval, fixture::now())
                .unwrap_err()
                .to_string()
                .contains("rejected by bob")
        );
    }

    #[test]
    fn a_plan_that_differs_from_the_incidents_is_refused_loudly() {
        let mut approval = fixture::approval();
        approval.spec.actions.first_mut().unwrap().target.namespace = Some("kube-system".to_owned());
        let error = guard(&fixture::incident(), &approval).unwrap_err();
        assert_eq!(error.exit_code(), exit::PLAN_MISMATCH);
        assert!(error.to_string().contains("DO NOT APPROVE"), "{error}");
        assert!(error.to_string().contains("kube-system"), "{error}");
    }
}
