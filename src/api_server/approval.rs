//! `POST /incidents/{namespace}/{name}/approval`: a person's decision about exactly one plan, written with that person's own token. The
//! operator reads and compares; the one patch is the caller's, and the API server, its rights and its admission policies judge it as if it
//! had come from kubectl. Callers who are known in any other way are refused: nobody's name is taken in vain.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use firewatch_core::api::{Decision, Incident, RemediationApproval};
use firewatch_core::approval::digest;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::access::Wish;
use super::caller::{Bearer, Caller};
use super::input::{Input, Named, text};
use super::models::{Decided, DecisionName, DecisionRequest};
use super::problem::{Kind, Problem};
use super::server::Shared;
use super::{openapi, read};

/// Makes a client that speaks as the owner of a token, with nothing of the operator's identity.
pub type AsCaller = Arc<dyn Fn(&Bearer) -> Result<Client, kube::Error> + Send + Sync>;

/// The way to the API server that the operator itself has, without what proves that it is the operator.
pub fn as_caller(config: &kube::Config) -> AsCaller {
    let mut bare = config.clone();
    bare.auth_info = kube::config::AuthInfo::default();
    bare.headers.clear();
    Arc::new(move |token| {
        let mut config = bare.clone();
        config.auth_info.token = Some(token.secret());
        Client::try_from(config)
    })
}

/// Decides about the plan that waits.
#[utoipa::path(post, path = "/incidents/{namespace}/{name}/approval", operation_id = "decide", tag = "incidents", params(openapi::PathParams), request_body = DecisionRequest, responses(
    (status = 200, description = "The decision was written, in your name", body = Decided),
    (status = 409, description = "No plan waits, it is another one, it is decided, or it is too late", body = super::models::ProblemDocument, content_type = "application/problem+json"),
))]
pub async fn decide(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    at: Named,
    Input(body): Input<DecisionRequest>,
) -> Result<Json<Decided>, Problem> {
    check(&body)?;
    let Some(token) = &caller.own_token else {
        return Err(Problem::new(
            Kind::OwnTokenNeeded,
            format!(
                "a decision is made with your own token of the cluster, which the API server then judges; Firewatch decides in nobody's name. Send that token here, or use kubectl: kubectl incident approve {} -n {}",
                at.name, at.namespace
            ),
        ));
    };
    let incident = read::incident(&shared, &caller.user, &at).await?;
    let reference = incident
        .status
        .as_ref()
        .and_then(|status| status.approval_ref.clone())
        .ok_or_else(|| no_plan(&incident))?;
    let wish = Wish::one("get", "remediationapprovals", &at.namespace, &reference.name);
    shared.access.demand(&caller.user, wish).await?;
    let approval = read::approval(&shared, &at.namespace, &reference.name)
        .await?
        .filter(|approval| approval.uid().as_deref() == Some(reference.uid.as_str()))
        .ok_or_else(|| no_plan(&incident))?;
    let me = &caller.user.name;
    let change = change(&incident, &approval, &body, me, Timestamp::now())?;
    let client = (shared.as_caller)(token).map_err(|_| Problem::unavailable(&"no connection as the caller"))?;
    let written = Api::<RemediationApproval>::namespaced(client, &at.namespace)
        .patch(&approval.name_any(), &PatchParams::default(), &Patch::Merge(&change))
        .await
        .map_err(|error| refused(&error))?;
    tracing::info!(approval = %format!("{}/{}", at.namespace, written.name_any()), by = %me, decision = ?body.decision, "a decision was written for a caller of the HTTP API, with their own token");
    Ok(Json(Decided {
        approval: written.name_any(),
        plan_digest: written.spec.plan_digest.clone(),
        decision: body.decision,
        by: me.clone(),
        waits_for_second: body.decision == DecisionName::Approved && !written.spec.is_approved(),
    }))
}

fn check(body: &DecisionRequest) -> Result<(), Problem> {
    let is_digest = body
        .plan_digest
        .strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    if !is_digest {
        return Err(Problem::invalid(
            "planDigest",
            "is not sha256: and 64 hex digits; it is plan.digest of the incident",
        ));
    }
    text("reason", body.reason.as_deref().unwrap_or_default(), 2048, true)
}

fn no_plan(incident: &Incident) -> Problem {
    let phase = incident.status.as_ref().map(|status| status.phase).unwrap_or_default();
    Problem::new(
        Kind::NoPlanWaiting,
        format!("no plan waits for a decision; the incident is in phase {phase}"),
    )
}

/// The patch that decides, where it may still be decided. The uid and the resourceVersion make sure that it is what was read.
fn change(
    incident: &Incident,
    approval: &RemediationApproval,
    body: &DecisionRequest,
    me: &str,
    now: Timestamp,
) -> Result<serde_json::Value, Problem> {
    let spec = &approval.spec;
    let present = incident.status.as_ref().and_then(|status| status.plan.as_ref());
    if spec.plan_digest != body.plan_digest || present.is_none_or(|plan| plan.digest != body.plan_digest) {
        return Err(Problem {
            field: Some("planDigest".to_owned()),
            ..Problem::new(
                Kind::PlanChanged,
                format!(
                    "the plan that waits is {}; read it, and decide about that one",
                    spec.plan_digest
                ),
            )
        });
    }
    if !digest::of_approval(approval).is_ok_and(|digest| digest.as_str() == spec.plan_digest) {
        return Err(Problem::new(
            Kind::PlanMismatch,
            "what is stored beside the digest is not what the digest is of: do not approve this plan, not even by hand, and find out who wrote it",
        ));
    }
    let by = spec.approver.as_deref().unwrap_or("somebody");
    let decided = |why: String| Err(Problem::new(Kind::AlreadyDecided, why));
    if approval.status.as_ref().is_some_and(|status| status.claim.is_some()) {
        return decided("the plan is being carried out already".to_owned());
    }
    let confirms = match (spec.decision, body.decision) {
        (Decision::Pending, _) => false,
        (Decision::Approved, DecisionName::Approved) if !spec.is_approved() && by != me => true,
        (Decision::Approved, DecisionName::Approved) if !spec.is_approved() => {
            return decided("you approved this plan already; a second person must".to_owned());
        }
        (Decision::Approved, DecisionName::Rejected) => {
            return decided(format!(
                "the plan was approved by {by}, and a decision is final; to stop it, set spec.cancelled of the incident"
            ));
        }
        (decision, _) => {
            return decided(format!(
                "the plan is decided ({decision} by {by}), and a decision is final"
            ));
        }
    };
    if spec.expires_at.0 <= now {
        return Err(Problem::new(
            Kind::PlanExpired,
            format!(
                "the plan is void since {}; report the trouble again to get a new one",
                spec.expires_at.0
            ),
        ));
    }
    let metadata = json!({ "uid": approval.uid(), "resourceVersion": approval.resource_version() });
    Ok(if confirms {
        json!({ "metadata": metadata, "spec": { "confirmation": { "approver": me, "reason": body.reason } } })
    } else {
        let decision = Decision::from(body.decision);
        json!({ "metadata": metadata, "spec": { "decision": decision, "approver": me, "reason": body.reason } })
    })
}

/// What the API server said to the caller's patch.
fn refused(error: &kube::Error) -> Problem {
    let kube::Error::Api(status) = error else {
        tracing::warn!("a decision could not be sent to the API server");
        return Problem::new(
            Kind::Unavailable,
            "the API server did not answer; the decision may have been written: look before you try again",
        );
    };
    match status.code {
        401 => Problem::new(
            Kind::OwnTokenNeeded,
            "the API server does not take your token: a decision needs one that is meant for the API server itself",
        ),
        403 | 422 => Problem::new(Kind::Forbidden, format!("the cluster refused it: {}", status.message)),
        404 | 409 => Problem::new(
            Kind::AlreadyDecided,
            "the approval was changed by somebody else in the meantime; read it again",
        ),
        _ => Problem::unavailable(&format!("{} ({})", status.message, status.code)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]
    use k8s_openapi::jiff::SignedDuration;
    use serde_json::Value;

    use super::*;

    const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    /// An approval and its incident, sealed as the operator seals them.
    fn sealed(more: Value) -> (Incident, RemediationApproval) {
        let now = Timestamp::now().checked_add(SignedDuration::from_mins(10)).unwrap();
        let expires = now.to_string();
        let mut spec = json!({
            "incidentRef": { "name": "i", "uid": "u" }, "planDigest": DIGEST, "revision": 1, "summary": "s", "risk": "low",
            "actions": [], "expiresAt": expires, "requiredApprovals": 1, "decision": "Pending",
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let approval = json!({
            "apiVersion": "firewatch.dev/v1alpha1", "kind": "RemediationApproval",
            "metadata": { "name": "a", "namespace": "shop", "uid": "au", "resourceVersion": "7" }, "spec": spec,
        });
        let mut approval: RemediationApproval = serde_json::from_value(approval).unwrap();
        approval.spec.plan_digest = digest::of_approval(&approval).unwrap().as_str().to_owned();
        let plan = json!({ "revision": 1, "digest": approval.spec.plan_digest, "risk": "low", "summary": "s" });
        let incident = json!({
            "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident", "metadata": { "name": "i", "namespace": "shop" },
            "spec": { "title": "t" }, "status": { "phase": "AwaitingApproval", "plan": plan },
        });
        (serde_json::from_value(incident).unwrap(), approval)
    }

    fn ask(approval: &RemediationApproval, decision: DecisionName) -> DecisionRequest {
        DecisionRequest {
            decision,
            plan_digest: approval.spec.plan_digest.clone(),
            reason: Some("looked at it".to_owned()),
        }
    }

    fn kind(more: Value, me: &str, decision: DecisionName) -> Result<Value, Kind> {
        let (incident, approval) = sealed(more);
        change(&incident, &approval, &ask(&approval, decision), me, Timestamp::now()).map_err(|problem| problem.kind)
    }

    #[test]
    fn the_patch_is_bound_to_what_was_read_and_names_the_caller() {
        let change = kind(json!({}), "alice", DecisionName::Approved).unwrap();
        assert_eq!(
            change,
            json!({ "metadata": { "uid": "au", "resourceVersion": "7" },
                "spec": { "decision": "Approved", "approver": "alice", "reason": "looked at it" } })
        );
    }

    #[test]
    fn a_second_person_confirms_and_the_first_cannot() {
        let half = json!({ "requiredApprovals": 2, "decision": "Approved", "approver": "alice" });
        let change = kind(half.clone(), "bob", DecisionName::Approved).unwrap();
        assert_eq!(
            change.get("spec"),
            Some(&json!({ "confirmation": { "approver": "bob", "reason": "looked at it" } }))
        );
        assert_eq!(
            kind(half.clone(), "alice", DecisionName::Approved),
            Err(Kind::AlreadyDecided)
        );
        assert_eq!(kind(half, "bob", DecisionName::Rejected), Err(Kind::AlreadyDecided));
    }

    #[test]
    fn what_is_decided_void_or_another_plan_is_not_decided() {
        let approved = json!({ "decision": "Approved", "approver": "alice" });
        assert_eq!(kind(approved, "bob", DecisionName::Approved), Err(Kind::AlreadyDecided));
        let rejected = json!({ "decision": "Rejected", "approver": "alice" });
        assert_eq!(kind(rejected, "bob", DecisionName::Approved), Err(Kind::AlreadyDecided));
        let void = json!({ "expiresAt": "2020-01-01T00:00:00Z" });
        assert_eq!(kind(void, "bob", DecisionName::Approved), Err(Kind::PlanExpired));
        let (incident, approval) = sealed(json!({}));
        let mut other = ask(&approval, DecisionName::Approved);
        other.plan_digest = DIGEST.to_owned();
        let problem = change(&incident, &approval, &other, "bob", Timestamp::now()).unwrap_err();
        assert_eq!(
            (problem.kind, problem.field.as_deref()),
            (Kind::PlanChanged, Some("planDigest"))
        );
    }

    #[test]
    fn a_plan_that_is_not_what_its_digest_says_is_not_decided() {
        let (incident, mut approval) = sealed(json!({}));
        approval.spec.required_approvals = 2;
        let asked = ask(&approval, DecisionName::Approved);
        let problem = change(&incident, &approval, &asked, "bob", Timestamp::now()).unwrap_err();
        assert_eq!(problem.kind, Kind::PlanMismatch);
    }
}
