//! The executor's pod, started as an operator that was taken over would start it: by the operator's own rights, for every approval that
//! is not as it must be. Nothing is changed, and each refusal has its reason. The operator itself is away, so that nothing helps.

use std::time::Duration;

use firewatch_core::api::status::PlanStatus;
use firewatch_core::api::{Incident, RemediationApproval};
use firewatch_core::approval::digest;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::ground::{Away, Ground, OPERATOR, apply, created};
use crate::world::{alone, must};

/// What, why it is refused, and the change to the plan.
type Alteration = (&'static str, &'static str, fn(&mut PlanStatus));

/// The guards that the chart installs, as they are installed now.
const GUARDS: &str = "validatingadmissionpolicybinding/firewatch-sandbox-requests";

#[tokio::test(flavor = "multi_thread")]
async fn only_an_approval_that_is_as_it_must_be_changes_anything_and_only_once() {
    let world = alone().await;
    let away = Away::sent();
    let ground = Ground::new();
    refuses(&ground);
    stays_in_its_namespace(&ground);
    obeys_once_and_takes_back_once(&ground);
    needs_its_guards(&ground);
    must(&["delete", "namespace", &ground.namespace, "--wait=false"]);
    drop(away);
    drop(world);
}

type Break = fn(&Ground, &Incident, &RemediationApproval);

fn refuses(ground: &Ground) {
    let uid = ground.settings("settings");
    let before = ground.data("settings");
    let action = ground.add_key("settings", &uid);
    let approve: Break = |ground, _, approval| ground.decide(approval, "Approved");
    let cases: &[(&str, &str, Break)] = &[
        ("undecided", "Undecided", |_, _, _| {}),
        ("rejected", "Rejected", |ground, _, approval| {
            ground.decide(approval, "Rejected");
        }),
        ("cancelled", "Cancelled", |ground, incident, approval| {
            ground.decide(approval, "Approved");
            let name = incident.metadata.name.as_deref().unwrap();
            must(&[
                "-n",
                &ground.namespace,
                "patch",
                "incident",
                name,
                "--type=merge",
                "-p",
                r#"{"spec":{"cancelled":true}}"#,
            ]);
        }),
        ("deleted", "IncidentMissing", |ground, incident, approval| {
            ground.decide(approval, "Approved");
            must(&[
                "-n",
                &ground.namespace,
                "delete",
                "incident",
                incident.metadata.name.as_deref().unwrap(),
            ]);
        }),
        ("remade", "IncidentUid", |ground, incident, approval| {
            ground.decide(approval, "Approved");
            let name = incident.metadata.name.as_deref().unwrap();
            must(&["-n", &ground.namespace, "delete", "incident", name]);
            ground.incident(name);
        }),
        ("superseded", "Superseded", |ground, incident, approval| {
            ground.decide(approval, "Approved");
            ground.status(incident, &json!({"status": {"plan": {"revision": 2}}}));
        }),
        ("over", "IncidentOver", |ground, incident, approval| {
            ground.decide(approval, "Approved");
            ground.status(incident, &json!({"status": {"phase": "Completed"}}));
        }),
    ];
    for (name, reason, breaks) in cases {
        let (incident, approval) = ground.asked(name, &action, 600, |_| {});
        breaks(ground, &incident, &approval);
        refused(ground, &approval, reason, "settings", &before);
    }
    let (_, approval) = ground.asked("expired", &action, 3, |_| {});
    approve(ground, &Incident::new("x", ground.incident("unused").spec), &approval);
    while Timestamp::now() <= approval.spec.expires_at.0 {
        std::thread::sleep(Duration::from_millis(200));
    }
    refused(ground, &approval, "Expired", "settings", &before);
    // A plan that says one thing and means another; sealed with the operator's rights, approved by somebody who trusted it.
    let altered: &[Alteration] = &[
        ("other-command", "Command", |plan| {
            plan.actions[0].command = vec!["kubectl".into(), "delete".into(), "namespace".into(), "shop".into()];
        }),
        ("other-value", "Command", |plan| {
            plan.actions[0].parameters.to = Some("http://evil".into());
        }),
        ("no-way-back", "Inverse", |plan| plan.actions[0].rollback.clear()),
        ("other-summary", "Summary", |plan| {
            plan.summary = "nothing to see".into();
        }),
        ("secret", "Action", |plan| plan.actions[0].target.kind = "Secret".into()),
    ];
    for (name, reason, change) in altered {
        let (_, approval) = ground.asked(name, &action, 600, change);
        ground.decide(&approval, "Approved");
        refused(ground, &approval, reason, "settings", &before);
    }
    let (_, approval) = ground.asked(
        "other-uid",
        &ground.add_key("settings", "00000000-0000-4000-8000-000000000000"),
        600,
        |_| {},
    );
    ground.decide(&approval, "Approved");
    refused(ground, &approval, "TargetMoved", "settings", &before);
    // The approval itself made again: its uid is another.
    let (_, mut approval) = ground.asked("uid", &action, 600, |_| {});
    ground.decide(&approval, "Approved");
    approval.metadata.uid = Some("00000000-0000-4000-8000-000000000000".into());
    refused(ground, &approval, "ApprovalUid", "settings", &before);
}

fn refused(ground: &Ground, approval: &RemediationApproval, reason: &str, settings: &str, before: &str) {
    let ended = ground.execute(approval, false);
    assert_eq!(
        (ended.code, ended.reason.as_str()),
        (1, reason),
        "{:?}",
        approval.metadata.name
    );
    assert_eq!(ground.data(settings), before, "{reason}: something was changed");
    assert!(!ground.claimed(approval), "{reason}: a claim was taken");
}

fn obeys_once_and_takes_back_once(ground: &Ground) {
    let uid = ground.settings("obeyed");
    let before = ground.data("obeyed");
    let (_, approval) = ground.asked("obeyed", &ground.add_key("obeyed", &uid), 600, |_| {});
    let back = ground.execute(&approval, true);
    assert_eq!((back.code, back.reason.as_str()), (1, "Undecided"));
    ground.decide(&approval, "Approved");
    assert_eq!(ground.execute(&approval, true).reason, "NotClaimed");
    let done = ground.execute(&approval, false);
    assert_eq!((done.code, done.reason.as_str()), (0, "none"));
    let after = ground.data("obeyed");
    assert!(after.contains("http://gateway"), "{after}");
    assert_eq!(ground.execute(&approval, false).reason, "Claimed");
    assert_eq!(ground.data("obeyed"), after);
    assert_eq!(ground.execute(&approval, true).code, 0);
    assert_eq!(ground.data("obeyed"), before);
    assert_eq!(ground.execute(&approval, true).reason, "RolledBack");
}

/// An approval that was given in one namespace is worth nothing in another, and none can be made for an incident elsewhere.
fn stays_in_its_namespace(ground: &Ground) {
    let other = Ground::new();
    let (here, there) = (ground.settings("shared"), other.settings("shared"));
    let before = (ground.data("shared"), other.data("shared"));
    let action = ground.add_key("shared", &here);
    let (_, given) = ground.asked("given", &action, 600, |_| {});
    ground.decide(&given, "Approved");

    // A copy of it, as it is: its actions are another namespace's.
    let put_into = |namespace: &str, approval: &RemediationApproval| {
        let mut copy = serde_json::to_value(approval).unwrap();
        copy["metadata"] = json!({"name": approval.metadata.name, "namespace": namespace});
        copy["spec"]["decision"] = json!("Pending");
        for decided in ["approver", "reason"] {
            copy["spec"].as_object_mut().unwrap().remove(decided);
        }
        copy
    };
    let copied = put_into(&other.namespace, &given);
    let (made, said) = apply(&[&OPERATOR, "create", "-f", "-"], &copied);
    assert!(
        !made && said.contains("an approval may change its own namespace only"),
        "{said}"
    );

    // The same with actions that fit there: it is no longer the plan that was approved.
    let mut bent = given.clone();
    bent.spec.actions = vec![other.add_key("shared", &there).to_planned("A1", &["E1".into()], None)];
    let bent: RemediationApproval =
        serde_json::from_value(created(&[&OPERATOR], &put_into(&other.namespace, &bent))).unwrap();
    other.decide(&bent, "Approved");
    refused(&other, &bent, "Digest", "shared", &before.1);

    // A plan of an incident that stands in another namespace; here there is none of that name, and then one that is not it.
    let (elsewhere, _) = other.asked("elsewhere", &other.add_key("shared", &there), 600, |_| {});
    let mut posed = elsewhere.clone();
    posed.metadata.namespace = Some(ground.namespace.clone());
    let mut plan = Ground::plan(&action, 600);
    plan.digest = digest::of_plan(&posed, &plan, 1).unwrap().to_string();
    let spec = digest::seal(&posed, &plan, 1).unwrap();
    let foreign = RemediationApproval::new(&digest::approval_name("elsewhere", &spec.plan_digest), spec);
    let foreign: RemediationApproval =
        serde_json::from_value(created(&[&OPERATOR], &put_into(&ground.namespace, &foreign))).unwrap();
    ground.decide(&foreign, "Approved");
    refused(ground, &foreign, "IncidentMissing", "shared", &before.0);
    ground.incident("elsewhere");
    refused(ground, &foreign, "IncidentUid", "shared", &before.0);

    // A Job that looks for an approval in the other namespace: one of that name is there, another plan's; of the other there is none.
    for (approval, reason) in [(&given, "ApprovalUid"), (&foreign, "ApprovalMissing")] {
        let ended = other.execute(approval, false);
        assert_eq!((ended.code, ended.reason.as_str()), (1, reason));
        assert!(!ground.claimed(approval), "{reason}");
    }
    assert_eq!((ground.data("shared"), other.data("shared")), before);
    must(&["delete", "namespace", &other.namespace, "--wait=false"]);
}

fn needs_its_guards(ground: &Ground) {
    let uid = ground.settings("guarded");
    let before = ground.data("guarded");
    let (_, approval) = ground.asked("guarded", &ground.add_key("guarded", &uid), 600, |_| {});
    ground.decide(&approval, "Approved");
    let saved = must(&["get", GUARDS, "-o", "json"]);
    must(&["delete", GUARDS]);
    let missing = ground.execute(&approval, false);
    let mut again: Value = serde_json::from_str(&saved).unwrap();
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
    ] {
        again["metadata"].as_object_mut().unwrap().remove(field);
    }
    created(&[], &again);
    let younger = ground.execute(&approval, false);
    must(&[
        "patch",
        GUARDS,
        "--type=merge",
        "-p",
        r#"{"spec":{"validationActions":["Audit"]}}"#,
    ]);
    let weakened = ground.execute(&approval, false);
    must(&[
        "patch",
        GUARDS,
        "--type=merge",
        "-p",
        r#"{"spec":{"validationActions":["Deny","Audit"]}}"#,
    ]);
    assert_eq!(missing.reason, "GuardsBroken");
    assert_eq!(younger.reason, "GuardsYounger");
    assert_eq!(weakened.reason, "GuardsBroken");
    assert_eq!(ground.data("guarded"), before);
    assert!(!ground.claimed(&approval));
}
