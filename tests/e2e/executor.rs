//! The executor's pod, started as an operator that was taken over would start it: by the operator's own rights, for every approval that
//! is not as it must be. Nothing is changed, and each refusal has its reason. The operator itself is away, so that nothing helps.

use std::time::{Duration, Instant};

use firewatch_core::api::status::{IncidentStatus, PlanStatus};
use firewatch_core::api::{ActionTarget, Incident, Phase, RemediationApproval};
use firewatch_core::approval::digest;
use firewatch_core::remediation::{Action, Change, assess};
use firewatch_core::sandbox::job::{JobPlan, Work, build};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::world::{alone, kubectl, must};

/// What, why it is refused, and the change to the plan.
type Alteration = (&'static str, &'static str, fn(&mut PlanStatus));

const OPERATOR: &str = "--as=system:serviceaccount:firewatch-system:firewatch";
/// The guards that the chart installs, as they are installed now.
const GUARDS: &str = "validatingadmissionpolicybinding/firewatch-sandbox-requests";

/// A namespace that opted in, with one ConfigMap that plans may change.
struct Ground {
    namespace: String,
    image: String,
}

/// What came of one Job.
#[derive(Debug)]
struct Ended {
    code: i64,
    reason: String,
}

fn apply(args: &[&str], object: &Value) -> (bool, String) {
    kubectl(args, Some(&object.to_string()))
}

fn created(args: &[&str], object: &Value) -> Value {
    let mut all = args.to_vec();
    all.extend(["create", "-f", "-", "-o", "json"]);
    let (ok, said) = apply(&all, object);
    assert!(ok, "{said}");
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"))
}

impl Ground {
    fn new() -> Self {
        let id = Timestamp::now().as_millisecond() % 10_000_000;
        let namespace = format!("executor-{id}");
        must(&["create", "namespace", &namespace]);
        must(&[
            "-n",
            &namespace,
            "create",
            "rolebinding",
            "firewatch-remediation",
            "--clusterrole=firewatch-remediation",
            "--serviceaccount=firewatch-sandbox:remediation-executor",
        ]);
        let expression = must(&[
            "get",
            "validatingadmissionpolicy",
            "firewatch-sandbox-pods",
            "-o",
            "jsonpath={.spec.validations[1].expression}",
        ]);
        let image = expression.split('\'').nth(1).unwrap().to_owned();
        Self { namespace, image }
    }

    /// A ConfigMap; returns its uid.
    fn settings(&self, name: &str) -> String {
        must(&[
            "-n",
            &self.namespace,
            "create",
            "configmap",
            name,
            "--from-literal=LOG_LEVEL=info",
        ]);
        must(&[
            "-n",
            &self.namespace,
            "get",
            "configmap",
            name,
            "-o",
            "jsonpath={.metadata.uid}",
        ])
    }

    fn data(&self, name: &str) -> String {
        must(&[
            "-n",
            &self.namespace,
            "get",
            "configmap",
            name,
            "-o",
            "jsonpath={.data}",
        ])
    }

    fn add_key(&self, name: &str, uid: &str) -> Action {
        let target = ActionTarget {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: Some(self.namespace.clone()),
            name: name.into(),
            uid: uid.into(),
        };
        let change = Change::PatchConfigMapKey {
            key: "GATEWAY".into(),
            parent_absent: false,
            from: None,
            to: Some("http://gateway".into()),
        };
        Action::new(target, change).unwrap()
    }

    fn incident(&self, name: &str) -> Incident {
        let object = json!({
            "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": {"title": "a test"},
        });
        serde_json::from_value(created(&[], &object)).unwrap()
    }

    /// An incident that stands at a plan of this action, and the plan's approval, pending. `change`: before it is sealed.
    fn asked(
        &self,
        name: &str,
        action: &Action,
        lasts: i64,
        change: impl FnOnce(&mut PlanStatus),
    ) -> (Incident, RemediationApproval) {
        let incident = self.incident(name);
        let actions = [action.clone()];
        let mut plan = PlanStatus {
            revision: 1,
            digest: String::new(),
            risk: assess::risk(&actions),
            summary: assess::summary(&actions),
            actions: vec![action.to_planned("A1", &["E1".into()], None)],
            long_term_fixes: Vec::new(),
            manual_reason: None,
            estimated_resolution_seconds: 5,
            expires_at: Some(Time(
                Timestamp::now().checked_add(SignedDuration::from_secs(lasts)).unwrap(),
            )),
        };
        change(&mut plan);
        plan.digest = digest::of_plan(&incident, &plan, 1).unwrap().to_string();
        self.stands_at(&incident, &plan);
        let spec = digest::seal(&incident, &plan, 1).unwrap();
        let approval = RemediationApproval::new(&digest::approval_name(name, &spec.plan_digest), spec);
        let mut object = serde_json::to_value(&approval).unwrap();
        object["metadata"]["namespace"] = json!(self.namespace);
        let made = created(&[OPERATOR], &object);
        (incident, serde_json::from_value(made).unwrap())
    }

    fn stands_at(&self, incident: &Incident, plan: &PlanStatus) {
        let status = IncidentStatus {
            phase: Phase::AwaitingApproval,
            plan: Some(plan.clone()),
            ..IncidentStatus::default()
        };
        self.status(incident, &json!({ "status": status }));
    }

    fn status(&self, incident: &Incident, patch: &Value) {
        let name = incident.metadata.name.as_deref().unwrap();
        must(&[
            "-n",
            &self.namespace,
            OPERATOR,
            "patch",
            "incident",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch.to_string(),
        ]);
    }

    fn decide(&self, approval: &RemediationApproval, decision: &str) {
        let me = must(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
        let patch = json!({"spec": {"decision": decision, "approver": me, "reason": "a test"}});
        must(&[
            "-n",
            &self.namespace,
            "patch",
            "rap",
            approval.metadata.name.as_deref().unwrap(),
            "--type=merge",
            "-p",
            &patch.to_string(),
        ]);
    }

    /// Makes the executor's Job with the operator's rights, and waits for the end of its pod.
    fn execute(&self, approval: &RemediationApproval, rollback: bool) -> Ended {
        let uid = approval.metadata.uid.clone().unwrap();
        let name = format!("fw-test-{}", Timestamp::now().as_nanosecond() % 1_000_000_000_000);
        let job = build(&JobPlan {
            name: name.clone(),
            namespace: "firewatch-sandbox".into(),
            image: self.image.clone(),
            incident_uid: uid.clone(),
            incident: format!("{}/test", self.namespace),
            work: Work::Approval {
                rollback,
                namespace: self.namespace.clone(),
                name: approval.metadata.name.clone().unwrap(),
                uid,
            },
        });
        created(
            &[OPERATOR, "-n", "firewatch-sandbox"],
            &serde_json::to_value(job).unwrap(),
        );
        let selector = format!("batch.kubernetes.io/job-name={name}");
        let deadline = Instant::now() + Duration::from_secs(90);
        let ended = loop {
            let (_, said) = kubectl(
                &[
                    "-n",
                    "firewatch-sandbox",
                    "get",
                    "pods",
                    "-l",
                    &selector,
                    "-o",
                    "jsonpath={.items[0].status.containerStatuses[0].state.terminated}",
                ],
                None,
            );
            if let Ok(state) = serde_json::from_str::<Value>(&said) {
                let message: Value =
                    serde_json::from_str(state["message"].as_str().unwrap_or_default()).unwrap_or_default();
                break Ended {
                    code: state["exitCode"].as_i64().unwrap(),
                    reason: message["fault"].as_str().unwrap_or("none").to_owned(),
                };
            }
            assert!(Instant::now() < deadline, "the executor's pod did not end: {said}");
            std::thread::sleep(Duration::from_millis(200));
        };
        must(&["-n", "firewatch-sandbox", "delete", "job", &name, "--wait=false"]);
        ended
    }

    fn claimed(&self, approval: &RemediationApproval) -> bool {
        !must(&[
            "-n",
            &self.namespace,
            "get",
            "rap",
            approval.metadata.name.as_deref().unwrap(),
            "-o",
            "jsonpath={.status.claim}",
        ])
        .is_empty()
    }
}

/// The operator, away; back at the end, whatever happens.
struct Away {
    was: String,
}

impl Away {
    fn sent() -> Self {
        let (_, was) = kubectl(
            &[
                "-n",
                "firewatch-system",
                "get",
                "deployment",
                "firewatch",
                "-o",
                "jsonpath={.spec.replicas}",
            ],
            None,
        );
        let _ = kubectl(
            &[
                "-n",
                "firewatch-system",
                "scale",
                "deployment",
                "firewatch",
                "--replicas=0",
            ],
            None,
        );
        let _ = kubectl(
            &[
                "-n",
                "firewatch-system",
                "wait",
                "--for=delete",
                "pod",
                "-l",
                "app.kubernetes.io/name=firewatch",
                "--timeout=60s",
            ],
            None,
        );
        Self { was }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if self.was.parse::<u32>().is_ok() {
            let _ = kubectl(
                &[
                    "-n",
                    "firewatch-system",
                    "scale",
                    "deployment",
                    "firewatch",
                    &format!("--replicas={}", self.was),
                ],
                None,
            );
            let _ = kubectl(
                &[
                    "-n",
                    "firewatch-system",
                    "rollout",
                    "status",
                    "deployment",
                    "firewatch",
                    "--timeout=90s",
                ],
                None,
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_approval_that_is_as_it_must_be_changes_anything_and_only_once() {
    let world = alone().await;
    let away = Away::sent();
    let ground = Ground::new();
    refuses(&ground);
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
        refused(ground, &approval, reason, &before);
    }
    let (_, approval) = ground.asked("expired", &action, 3, |_| {});
    approve(ground, &Incident::new("x", ground.incident("unused").spec), &approval);
    while Timestamp::now() <= approval.spec.expires_at.0 {
        std::thread::sleep(Duration::from_millis(200));
    }
    refused(ground, &approval, "Expired", &before);
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
        refused(ground, &approval, reason, &before);
    }
    let (_, approval) = ground.asked(
        "other-uid",
        &ground.add_key("settings", "00000000-0000-4000-8000-000000000000"),
        600,
        |_| {},
    );
    ground.decide(&approval, "Approved");
    refused(ground, &approval, "TargetMoved", &before);
    // The approval itself made again: its uid is another.
    let (_, mut approval) = ground.asked("uid", &action, 600, |_| {});
    ground.decide(&approval, "Approved");
    approval.metadata.uid = Some("00000000-0000-4000-8000-000000000000".into());
    refused(ground, &approval, "ApprovalUid", &before);
}

fn refused(ground: &Ground, approval: &RemediationApproval, reason: &str, before: &str) {
    let ended = ground.execute(approval, false);
    assert_eq!(
        (ended.code, ended.reason.as_str()),
        (1, reason),
        "{:?}",
        approval.metadata.name
    );
    assert_eq!(ground.data("settings"), before, "{reason}: something was changed");
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
