//! From reports to one root cause, and from that to a plan. Both are computed in the core; this keeps and records them.

use firewatch_core::agents::{AgentReport, commander, messages, remediation_planner};
use firewatch_core::api::{Incident, Outcome, Phase, Role};
use firewatch_core::approval::digest;
use firewatch_core::diagnosis::{Diagnosis, Verdict};
use firewatch_core::incident::{Reason, Transition};
use firewatch_core::remediation::plan::PlanningContext;
use firewatch_core::remediation::remedies::{Nodes, Reach};
use firewatch_core::text::clip;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde::Deserialize;

use super::consult::{self, Consulted};
use super::transition;
use crate::config::Config;
use crate::incident::case;
use crate::incident::context::Context;
use crate::incident::observe::Observed;
use crate::incident::payload::{self, Record};
use crate::incident::reconcile::Error;
use crate::incident::record;

/// What both agents reported.
async fn reports(ctx: &Context, uid: &str) -> Result<Vec<AgentReport>, Error> {
    let mut reports = Vec::new();
    for role in [Role::SreInvestigator, Role::CodeAnalyst] {
        if let Some(report) = payload::find_step(ctx, uid, &[role.as_ref(), "report"])
            .await?
            .and_then(|r| r.report.clone())
        {
            reports.push(report);
        }
    }
    Ok(reports)
}

/// The diagnosis as it was recorded.
pub async fn recorded(ctx: &Context, incident_uid: &str) -> Result<Diagnosis, Error> {
    let record = payload::find_step(ctx, incident_uid, &["diagnosis"]).await?;
    let record = record.ok_or_else(|| Error::Missing("the record of the diagnosis".into()))?;
    Ok(Diagnosis::deserialize(&record.data)?)
}

/// Findings become one root cause, or it is said that there is none.
pub async fn diagnose(ctx: &Context, mut incident: Incident, observed: &Observed) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let case = case::load(ctx, &incident).await?;
    let reports = reports(ctx, &uid).await?;
    // On the heap: a client's whole exchange would lie on the stack of every reconcile.
    let reports = match Box::pin(consult::consult(
        ctx,
        &incident,
        &case,
        reports,
        &observed.policy.budgets,
    ))
    .await?
    {
        Consulted::Reports(reports) => reports,
        Consulted::Later => return Ok(()),
    };
    let diagnosis = commander::consolidate(&reports, &case);
    let with_model = || reports.iter().filter(|report| report.opinion.is_some());
    let mut said: Vec<_> = with_model().flat_map(|report| report.messages.clone()).collect();
    said.extend(messages::diagnosis(&diagnosis));
    let triaged = commander::triage(&incident.spec, Some(&case));
    let data = serde_json::to_value(&diagnosis)?;
    let (stored, kept) = payload::keep(
        ctx,
        &uid,
        &["diagnosis"],
        Record {
            messages: said,
            data,
            ..Record::default()
        },
    )
    .await?;
    // A diagnosis that was recorded before a crash is the diagnosis.
    let diagnosis = Diagnosis::deserialize(&stored.data)?;
    let mut status = incident.status.take().unwrap_or_default();
    for report in with_model() {
        for agent in status.agents.iter_mut().filter(|agent| agent.role == report.role) {
            agent.message = Some(clip(&report.summary, 1024));
        }
    }
    status.findings = diagnosis
        .findings
        .iter()
        .take(32)
        .map(firewatch_core::diagnosis::finding::Finding::to_status)
        .collect();
    status.root_cause = diagnosis
        .root_cause
        .as_ref()
        .map(firewatch_core::diagnosis::RootCause::to_status);
    status.next_steps = diagnosis.next_steps.iter().take(8).map(|s| clip(s, 1024)).collect();
    // Impact is known only now; severity is what triage and the person said.
    if let Some(triage) = &mut status.triage {
        triage.impact = triaged.impact;
    }
    incident.status = Some(status);
    let over = |outcome, reason, message: String| Transition {
        to: Phase::Completed,
        outcome: Some(outcome),
        reason,
        actor: "commander".into(),
        message,
        payload: Some(kept.clone()),
    };
    match (diagnosis.verdict, &diagnosis.root_cause) {
        (Verdict::Found, Some(cause)) => {
            let message = format!("{} (confidence {})", cause.finding.summary, cause.finding.confidence);
            let what = transition(
                Phase::Planning,
                Reason::RootCauseFound,
                "commander",
                message,
                Some(kept),
            );
            record::commit(ctx, incident, &what, None).await?;
            Ok(())
        }
        (Verdict::Healthy, _) => {
            let message = format!("nothing is wrong; looked at: {}", diagnosis.checked.join(", "));
            conclude(ctx, incident, over(Outcome::NoActionRequired, Reason::Healthy, message)).await
        }
        _ => {
            let message = format!(
                "the symptom is not explained; looked at: {}",
                diagnosis.checked.join(", ")
            );
            conclude(ctx, incident, over(Outcome::Inconclusive, Reason::Unexplained, message)).await
        }
    }
}

async fn conclude(ctx: &Context, incident: Incident, what: Transition) -> Result<(), Error> {
    record::commit(ctx, incident, &what, None).await?;
    Ok(())
}

/// Nodes serve every namespace: only the operator's own incidents may change them, and only where the chart gives the executor the right.
fn reach(config: &Config, namespace: String) -> Reach {
    let nodes = match (config.remediate_nodes, namespace == config.namespace) {
        (false, _) => Nodes::Off,
        (true, false) => Nodes::OnlyFrom(config.namespace.clone()),
        (true, true) => Nodes::Allowed,
    };
    Reach { namespace, nodes }
}

/// The Planner writes the plan. Its expiry is fixed here, since it is part of the plan's identity.
pub async fn plan(ctx: &Context, mut incident: Incident, observed: &Observed) -> Result<(), Error> {
    let uid = incident.uid().ok_or(Error::Unidentified)?;
    let case = case::load(ctx, &incident).await?;
    let diagnosis = recorded(ctx, &uid).await?;
    let revision = incident
        .status
        .as_ref()
        .and_then(|s| s.plan.as_ref())
        .map_or(1, |p| p.revision);
    let feedback = incident.spec.revision_feedback.clone();
    let expires_at = Timestamp::now().saturating_add(SignedDuration::from_secs(observed.policy.approval_ttl_seconds));
    let context = PlanningContext {
        reach: reach(&ctx.config, incident.namespace().unwrap_or_default()),
        revision,
        feedback: feedback.clone(),
        allowed_actions: observed.policy.allowed_actions.clone(),
    };
    let mut plan = remediation_planner::plan(&diagnosis, &case, &context);
    plan.revision = revision;
    plan.expires_at = Some(Time(
        Timestamp::from_second(expires_at.map_or(0, Timestamp::as_second)).unwrap_or_default(),
    ));
    if !plan.actions.is_empty() {
        let digest = digest::of_plan(&incident, &plan, observed.policy.required_approvals(plan.risk));
        plan.digest = digest.map_err(|e| Error::Seal(e.to_string()))?.to_string();
    }
    let said = messages::plan(&plan);
    let step = ["plan".to_owned(), revision.to_string()];
    let step = step.each_ref().map(String::as_str);
    let data = serde_json::to_value(&plan)?;
    let (stored, kept) = payload::keep(
        ctx,
        &uid,
        &step,
        Record {
            messages: said,
            data,
            ..Record::default()
        },
    )
    .await?;
    // A plan that was written before a crash is the plan.
    let plan: firewatch_core::api::status::PlanStatus = serde_json::from_value(stored.data.clone())?;
    let message = if plan.actions.is_empty() {
        format!("no action: {}", plan.manual_reason.clone().unwrap_or_default())
    } else {
        format!("plan {revision}: {} (risk {})", plan.summary, plan.risk)
    };
    let mut status = incident.status.take().unwrap_or_default();
    status.plan = Some(plan);
    status.review = None;
    status.observed_feedback = feedback;
    incident.status = Some(status);
    let what = transition(
        Phase::Reviewing,
        Reason::PlanWritten,
        "remediation-planner",
        message,
        Some(kept),
    );
    record::commit(ctx, incident, &what, None).await?;
    Ok(())
}
