//! What a ResponsePolicy approves by itself: carried out, verified and recorded with the policy's name, generation and digest; refused
//! by the executor where the policy was tightened after it approved; and nothing at all where no policy says so.

use std::collections::BTreeMap;

use firewatch_core::api::conditions::{APPROVED, EXECUTED};
use firewatch_core::api::status::ExecutionState;
use firewatch_core::api::{Decision, IncidentStatus, Outcome, Phase, RemediationApproval, ResponsePolicy};
use firewatch_core::approval::rehearsal::{Past, rehearse};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use serde_json::{Value, json};

use crate::record;
use crate::world::{Place, alone, kubectl, must, shared};

/// A policy for this place alone.
fn policy(place: &Place, more: &Value) {
    let mut spec = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.namespace}},
        "autoApprove": {"maxRisk": "medium", "actionTypes": ["PatchConfigMapKey", "RestartRollout"], "minConfidence": "0.8", "maxPerHour": 1},
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let object = json!({
        "apiVersion": "firewatch.dev/v1alpha1", "kind": "ResponsePolicy", "metadata": {"name": place.namespace}, "spec": spec,
    });
    let (ok, said) = kubectl(&["apply", "-f", "-"], Some(&object.to_string()));
    assert!(ok, "{said}");
}

/// Reports the broken checkout, and lets a policy decide.
fn reports(place: &Place) -> String {
    let mut object = place.library.objects("crashloop", "incident.yaml").unwrap().remove(0);
    object["spec"]["approvalMode"] = json!("Policy");
    let (ok, said) = kubectl(&["-n", &place.namespace, "apply", "-f", "-"], Some(&object.to_string()));
    assert!(ok, "{said}");
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

async fn approval(place: &Place, status: &IncidentStatus) -> RemediationApproval {
    let reference = status.approval_ref.as_ref().unwrap();
    place.cluster.approvals().get(&reference.name).await.unwrap()
}

fn condition(status: &IncidentStatus, of: &str) -> (String, String, String) {
    let found = status.conditions.iter().find(|c| c.type_ == of).unwrap();
    (found.status.clone(), found.reason.clone(), found.message.clone())
}

async fn ends(place: Place) {
    let _ = kubectl(
        &["delete", "responsepolicy", &place.namespace, "--ignore-not-found"],
        None,
    );
    place.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_approves_is_carried_out_verified_and_recorded_as_its() {
    let world = shared().await;
    let place = Place::new("by-policy").await;
    place.breaks("crashloop").await;
    policy(&place, &json!({}));
    let incident = reports(&place);
    let status = place.until_over(&incident).await;
    assert_eq!(status.outcome, Some(Outcome::Remediated), "{:?}", status.message);
    assert!(status.verification.as_ref().unwrap().passed);
    let approval = approval(&place, &status).await;
    let policy = approval.spec.policy.clone().unwrap();
    assert_eq!((policy.name.as_str(), policy.generation), (place.namespace.as_str(), 1));
    assert_eq!(
        approval.spec.approver,
        Some(format!("responsepolicy:{}", place.namespace))
    );
    let story = record::told(&place, &incident).await;
    let decided = story
        .transitions
        .iter()
        .find(|t| t.reason == "ApprovedByPolicy")
        .unwrap();
    assert_eq!(decided.actor, format!("responsepolicy:{}", place.namespace));
    let stored = story.approvals.last().unwrap().reason.clone().unwrap();
    for said in [&decided.message, &stored] {
        for part in [&policy.name, "generation 1", &policy.digest] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    // The dry run says the same of it now that it is past.
    let client = place.cluster.client.clone();
    let live: ResponsePolicy = Api::all(client).get(&place.namespace).await.unwrap();
    let labels = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), place.namespace.clone())]);
    let told = rehearse(
        &[live],
        Past {
            incidents: &[place.incidents().get(&incident).await.unwrap()],
            approvals: &[approval],
            namespaces: &BTreeMap::from([(place.namespace.clone(), labels)]),
            since: Timestamp::MIN,
        },
    );
    assert!(matches!(told.as_slice(), [one] if one.verdict.is_ok()), "{told:?}");
    ends(place).await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_approved_without_a_policy_and_the_executor_refuses_what_a_policy_no_longer_approves() {
    let world = alone().await;
    let place = Place::new("tightened").await;
    place.breaks("crashloop").await;
    let before = place.settings();
    let incident = reports(&place);
    // Nobody has said that a policy may.
    place.until_asked(&incident).await;
    let waits = place
        .until(&incident, 30, "why no policy approves", |s| {
            condition(s, APPROVED).2.contains("NoPolicy")
        })
        .await;
    let pending = approval(&place, waits.status.as_ref().unwrap()).await;
    assert_eq!(pending.spec.decision, Decision::Pending);

    // One says so; the executor's pod cannot start yet.
    let node = must(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    must(&["cordon", &node]);
    policy(&place, &json!({}));
    let started = place
        .until(&incident, 60, "the executor's Job", |s| s.phase == Phase::Executing)
        .await;
    let approved = approval(&place, started.status.as_ref().unwrap()).await;
    assert_eq!(approved.spec.decision, Decision::Approved);
    assert_eq!(approved.spec.policy.unwrap().name, place.namespace);
    // And says less before it does.
    let less = json!({"spec": {"autoApprove": {"maxRisk": "low", "actionTypes": ["Scale"]}}}).to_string();
    must(&["patch", "responsepolicy", &place.namespace, "--type=merge", "-p", &less]);
    must(&["uncordon", &node]);

    let status = place.until_over(&incident).await;
    assert_eq!(status.outcome, Some(Outcome::Escalated));
    assert_eq!(status.execution.as_ref().unwrap().state, ExecutionState::Refused);
    let (executed, reason, message) = condition(&status, EXECUTED);
    assert_eq!((executed.as_str(), reason.as_str()), ("False", "ExecutionRefused"));
    assert!(
        message.contains("PolicyApproval") && message.contains(&place.namespace),
        "{message}"
    );
    assert_eq!(place.settings(), before, "nothing was changed");
    let after = approval(&place, &status).await;
    assert!(after.status.unwrap().claim.is_none(), "{:?}", after.metadata.name);
    ends(place).await;
    drop(world);
}
