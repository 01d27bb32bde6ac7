//! Where the executor's pod is tried without an operator: a namespace that opted in, incidents and approvals made with the operator's
//! own rights, and Jobs as an operator that was taken over would make them.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use firewatch_core::api::status::{IncidentStatus, PlanStatus};
use firewatch_core::api::{ActionTarget, Incident, Phase, RemediationApproval, Risk};
use firewatch_core::approval::digest;
use firewatch_core::remediation::{Action, Change, assess};
use firewatch_core::sandbox::job::{JobPlan, Work, build};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::world::{data, kubectl, must, opts_in};

/// The flag by which kubectl acts with a token of the operator's own ServiceAccount, as one who stole it would: nothing of the test's
/// own identity goes along.
pub static OPERATOR: LazyLock<String> = LazyLock::new(|| {
    let view = must(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]);
    let mut config: Value = serde_json::from_str(&view).unwrap();
    let token = must(&[
        "-n",
        "firewatch-system",
        "create",
        "token",
        "firewatch",
        "--duration=1h",
    ]);
    config["users"][0]["user"] = json!({ "token": token });
    let (_, path) = tempfile::NamedTempFile::new().unwrap().keep().unwrap();
    std::fs::write(&path, config.to_string()).unwrap();
    format!("--kubeconfig={}", path.display())
});

/// A namespace that opted in, with one ConfigMap that plans may change.
pub struct Ground {
    pub namespace: String,
    image: String,
}

/// What came of one Job.
#[derive(Debug)]
pub struct Ended {
    pub code: i64,
    pub reason: String,
    /// What it said of the reason.
    pub detail: String,
}

pub fn apply(args: &[&str], object: &Value) -> (bool, String) {
    kubectl(args, Some(&object.to_string()))
}

pub fn created(args: &[&str], object: &Value) -> Value {
    let mut all = args.to_vec();
    all.extend(["create", "-f", "-", "-o", "json"]);
    let (ok, said) = apply(&all, object);
    assert!(ok, "{said}");
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"))
}

impl Ground {
    pub fn new() -> Self {
        let id = Timestamp::now().as_millisecond() % 10_000_000;
        let namespace = format!("executor-{id}");
        must(&["create", "namespace", &namespace]);
        opts_in(&namespace);
        Self::at(namespace)
    }

    /// A namespace that is there.
    pub fn at(namespace: String) -> Self {
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
    pub fn settings(&self, name: &str) -> String {
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

    pub fn data(&self, name: &str) -> String {
        data(&self.namespace, name)
    }

    pub fn add_key(&self, name: &str, uid: &str) -> Action {
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

    pub fn incident(&self, name: &str) -> Incident {
        let object = json!({
            "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": {"title": "a test"},
        });
        serde_json::from_value(created(&[], &object)).unwrap()
    }

    /// A plan of this action that can be approved for so many seconds; not sealed yet.
    pub fn plan(action: &Action, lasts: i64) -> PlanStatus {
        Self::plan_of(std::slice::from_ref(action), lasts)
    }

    fn plan_of(actions: &[Action], lasts: i64) -> PlanStatus {
        let planned =
            |(index, action): (usize, &Action)| action.to_planned(&format!("A{}", index + 1), &["E1".into()], None);
        PlanStatus {
            revision: 1,
            digest: String::new(),
            risk: assess::risk(actions),
            summary: assess::summary(actions),
            actions: actions.iter().enumerate().map(planned).collect(),
            long_term_fixes: Vec::new(),
            manual_reason: None,
            estimated_resolution_seconds: 5,
            expires_at: Some(Time(
                Timestamp::now().checked_add(SignedDuration::from_secs(lasts)).unwrap(),
            )),
        }
    }

    /// An incident that stands at a plan of this action, and the plan's approval, pending. `change`: before it is sealed.
    pub fn asked(
        &self,
        name: &str,
        action: &Action,
        lasts: i64,
        change: impl FnOnce(&mut PlanStatus),
    ) -> (Incident, RemediationApproval) {
        let mut plan = Self::plan(action, lasts);
        change(&mut plan);
        self.sealed(name, plan, 1)
    }

    /// The same for several actions at once; what is of high risk takes two people.
    pub fn asked_all(&self, name: &str, actions: &[Action]) -> (Incident, RemediationApproval) {
        let plan = Self::plan_of(actions, 900);
        let approvals = if plan.risk == Risk::High { 2 } else { 1 };
        self.sealed(name, plan, approvals)
    }

    fn sealed(&self, name: &str, mut plan: PlanStatus, approvals: i32) -> (Incident, RemediationApproval) {
        let incident = self.incident(name);
        plan.digest = digest::of_plan(&incident, &plan, approvals).unwrap().to_string();
        self.stands_at(&incident, &plan);
        let spec = digest::seal(&incident, &plan, approvals).unwrap();
        let approval = RemediationApproval::new(&digest::approval_name(name, &spec.plan_digest), spec);
        let mut object = serde_json::to_value(&approval).unwrap();
        object["metadata"]["namespace"] = json!(self.namespace);
        let made = created(&[&OPERATOR], &object);
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

    pub fn status(&self, incident: &Incident, patch: &Value) {
        let name = incident.metadata.name.as_deref().unwrap();
        must(&[
            "-n",
            &self.namespace,
            &OPERATOR,
            "patch",
            "incident",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch.to_string(),
        ]);
    }

    pub fn decide(&self, approval: &RemediationApproval, decision: &str) {
        let me = must(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
        let name = approval.metadata.name.as_deref().unwrap();
        let patch = |spec: &Value, who: &[&str]| {
            let patch = json!({ "spec": spec }).to_string();
            let mut args = vec![
                "-n",
                &self.namespace,
                "patch",
                "rap",
                name,
                "--type=merge",
                "-p",
                &patch,
            ];
            args.extend(who);
            must(&args);
        };
        patch(&json!({"decision": decision, "approver": me, "reason": "a test"}), &[]);
        if approval.spec.required_approvals > 1 {
            let second = json!({"confirmation": {"approver": "second", "reason": "a test"}});
            patch(&second, &["--as=second", "--as-group=system:masters"]);
        }
    }

    /// Makes the executor's Job with the operator's rights, and waits for the end of its pod.
    pub fn execute(&self, approval: &RemediationApproval, rollback: bool) -> Ended {
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
            &[&OPERATOR, "-n", "firewatch-sandbox"],
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
                    detail: message.to_string(),
                };
            }
            assert!(Instant::now() < deadline, "the executor's pod did not end: {said}");
            std::thread::sleep(Duration::from_millis(200));
        };
        must(&["-n", "firewatch-sandbox", "delete", "job", &name, "--wait=false"]);
        ended
    }

    pub fn claimed(&self, approval: &RemediationApproval) -> bool {
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

/// Makes the executor's Job for an approval that was made elsewhere, as an operator that was taken over would.
pub fn executes(namespace: &str, approval: &str) -> Ended {
    let object = must(&["-n", namespace, "get", "rap", approval, "-o", "json"]);
    Ground::at(namespace.to_owned()).execute(&serde_json::from_str(&object).unwrap(), false)
}

/// The operator, away; back at the end, whatever happens.
pub struct Away {
    was: String,
}

impl Away {
    pub fn sent() -> Self {
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
