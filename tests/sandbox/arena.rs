//! A namespace of a test's own, in which sandbox Jobs run: restricted, with the accounts of the chart, with or without its guards.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use firewatch_core::api::Role;
use firewatch_core::sandbox::command::{Command, Lane};
use firewatch_core::sandbox::job::{self, JobPlan, RequestLane, Work};
use firewatch_core::sandbox::outcome::{self, PodOutcome};
use firewatch_core::sandbox::output::{OutputFault, OutputLine, parse_log};
use firewatch_core::sandbox::policy::Tenancy;
use firewatch_core::sandbox::request::{KEY, RequestedCommand, SandboxRequest, VERSION};
use futures::FutureExt;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role as RbacRole, RoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::{DeleteParams, ListParams, LogParams, ObjectMeta, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(90);

/// The namespace.
pub struct Arena {
    pub client: Client,
    pub namespace: String,
    pub image: String,
}

/// How a Job ended.
pub struct Ended {
    pub outcome: PodOutcome,
    pub log: String,
    pub nonce: String,
    pub after: Duration,
}

impl Ended {
    /// Its lines, or why they are not believed.
    pub fn lines(&self) -> Result<Vec<OutputLine>, OutputFault> {
        let PodOutcome::Ended { termination, .. } = &self.outcome else {
            panic!("it did not end by itself: {:?}", self.outcome)
        };
        parse_log(&self.log, termination.as_deref(), &self.nonce)
    }
}

/// What is asked of a Job.
pub struct Asked<'a> {
    pub role: Role,
    pub lane: RequestLane,
    pub commands: &'a [Command],
    /// Ids and texts.
    pub evidence: &'a [(&'a str, &'a str)],
}

/// Runs a test in a namespace of its own, which goes with it whether it passes or not.
pub async fn with_arena(guarded: bool, test: impl AsyncFnOnce(&Arena)) {
    let client = Client::try_default()
        .await
        .expect("KUBECONFIG names a cluster that answers");
    let image = std::env::var("FIREWATCH_SANDBOX_IMAGE").expect("FIREWATCH_SANDBOX_IMAGE names the sandbox's image");
    let suffix = uuid::Uuid::new_v4().simple().to_string();
    let namespace = format!("fw-sandbox-{}", &suffix[..8]);
    let arena = Arena {
        client,
        namespace,
        image,
    };
    let result = AssertUnwindSafe(async {
        arena.make().await;
        if guarded {
            arena.guard().await;
        }
        test(&arena).await;
    })
    .catch_unwind()
    .await;
    arena.remove().await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

impl Arena {
    pub fn api<K: Resource<Scope = k8s_openapi::NamespaceResourceScope>>(&self) -> Api<K>
    where
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn cluster<K: Resource<Scope = k8s_openapi::ClusterResourceScope>>(&self) -> Api<K>
    where
        K::DynamicType: Default,
    {
        Api::all(self.client.clone())
    }

    async fn make(&self) {
        let new = PostParams::default();
        let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
        let namespace = json!({ "metadata": { "name": self.namespace, "labels": labels } });
        self.cluster::<Namespace>()
            .create(&new, &from(namespace))
            .await
            .unwrap();
        for account in ["sre-investigator", "code-analyst", "analyze", "remediation-executor"] {
            let account = json!({ "metadata": { "name": account } });
            self.api::<ServiceAccount>().create(&new, &from(account)).await.unwrap();
        }
        // The chart brings it; without the chart it is this test's.
        let class = json!({ "metadata": { "name": "firewatch-sandbox" }, "value": -10, "preemptionPolicy": "Never" });
        match self.cluster::<PriorityClass>().create(&new, &from(class)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => panic!("{error}"),
        }
        // Pods and ConfigMaps, but not Deployments.
        let role = json!({
            "metadata": { "name": "reads" },
            "rules": [{ "apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["get", "list"] }],
        });
        self.api::<RbacRole>().create(&new, &from(role)).await.unwrap();
        let binding = json!({
            "metadata": { "name": "reads" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reads" },
            "subjects": [{ "kind": "ServiceAccount", "name": "sre-investigator", "namespace": self.namespace }],
        });
        self.api::<RoleBinding>().create(&new, &from(binding)).await.unwrap();
        // Every pod mounts it; the controller makes it in its own time.
        self.until("kube-root-ca.crt", async || {
            self.api::<ConfigMap>().get_opt("kube-root-ca.crt").await.unwrap()
        })
        .await;
    }

    fn guard_documents(&self) -> Vec<Value> {
        let text = include_str!("../../charts/firewatch/files/guards.yaml")
            .replace("FIREWATCH_OPERATOR_NAMESPACE", "firewatch-system")
            .replace("FIREWATCH_OPERATOR_ACCOUNT", "firewatch")
            .replace("FIREWATCH_SANDBOX_NAMESPACE", &self.namespace)
            .replace("FIREWATCH_SANDBOX_IMAGE", &self.image)
            .replace("firewatch-sandbox-pods", &format!("{}-pods", self.namespace));
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let own = |d: &Value| d["metadata"]["name"] == json!(format!("{}-pods", self.namespace));
        documents.into_iter().filter(own).collect()
    }

    /// Installs the chart's guard of sandbox pods for this namespace, and waits until it holds.
    async fn guard(&self) {
        for document in self.guard_documents() {
            if document["kind"] == "ValidatingAdmissionPolicy" {
                let policy = from::<ValidatingAdmissionPolicy>(document);
                self.cluster().create(&PostParams::default(), &policy).await.unwrap();
            } else {
                let binding = from::<ValidatingAdmissionPolicyBinding>(document);
                self.cluster().create(&PostParams::default(), &binding).await.unwrap();
            }
        }
        let mut odd = self.pod(RequestLane::Analyze);
        odd.spec.as_mut().unwrap().containers[0].working_dir = Some("/tmp".to_owned());
        self.until("the guard", async || self.admits(&odd).await.is_err().then_some(()))
            .await;
    }

    /// Asks admission, changes nothing.
    pub async fn admits(&self, pod: &Pod) -> Result<(), String> {
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        match self.api::<Pod>().create(&dry, pod).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) => Err(status.message),
            Err(error) => panic!("{error}"),
        }
    }

    /// A pod as the Job controller would make it.
    pub fn pod(&self, lane: RequestLane) -> Pod {
        let evidence = vec![("E1".to_owned(), "fw-e".to_owned())];
        let work = Work::Request {
            role: Role::SreInvestigator,
            lane,
            request: "fw-r".into(),
            evidence,
        };
        let template = self.job("fw-pod", work).spec.unwrap().template;
        let metadata = ObjectMeta {
            name: Some("fw-pod".to_owned()),
            ..template.metadata.unwrap()
        };
        Pod {
            metadata,
            spec: template.spec,
            status: None,
        }
    }

    fn job(&self, name: &str, work: Work) -> Job {
        job::build(&JobPlan {
            name: name.to_owned(),
            namespace: self.namespace.clone(),
            image: self.image.clone(),
            incident_uid: "11111111-2222-4333-8444-555555555555".into(),
            incident: "shop/incident".into(),
            work,
        })
    }

    pub async fn config_map(&self, name: &str, key: &str, text: &str) {
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(key.to_owned(), text.to_owned())])),
            immutable: Some(true),
            ..ConfigMap::default()
        };
        self.api::<ConfigMap>()
            .create(&PostParams::default(), &map)
            .await
            .unwrap();
    }

    /// Runs a Job to its end. `change` is what the operator would never do.
    pub async fn run(&self, asked: Asked<'_>, change: impl FnOnce(&mut Job)) -> Ended {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("fw-{}", &nonce[..12]);
        let lane = if asked.lane == RequestLane::Observe {
            Lane::Observe
        } else {
            Lane::Analyze
        };
        // Without the operator's own check: the runner must not rely on it.
        let number = |(index, command): (usize, &Command)| RequestedCommand {
            id: format!("c{}", index + 1),
            command: command.clone(),
        };
        let request = SandboxRequest {
            version: VERSION,
            nonce: nonce.clone(),
            role: asked.role,
            lane,
            tenancy: Tenancy::Namespaces(vec![self.namespace.clone()]),
            commands: asked.commands.iter().enumerate().map(number).collect(),
        };
        self.config_map(&name, KEY, &serde_json::to_string(&request).unwrap())
            .await;
        let mut evidence = Vec::new();
        for (id, text) in asked.evidence {
            let map = format!("{name}-{}", id.to_lowercase());
            self.config_map(&map, "output", text).await;
            evidence.push(((*id).to_owned(), map));
        }
        let work = Work::Request {
            role: asked.role,
            lane: asked.lane,
            request: name.clone(),
            evidence,
        };
        let mut job = self.job(&name, work);
        change(&mut job);
        let started = Instant::now();
        self.api::<Job>().create(&PostParams::default(), &job).await.unwrap();
        let selector = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
        let (pod, outcome) = self
            .until("the pod's end", async || {
                let pod = self
                    .api::<Pod>()
                    .list(&selector)
                    .await
                    .unwrap()
                    .items
                    .into_iter()
                    .next()?;
                match outcome::of(&pod) {
                    PodOutcome::Running => None,
                    ended => Some((pod, ended)),
                }
            })
            .await;
        let after = started.elapsed();
        let log = match &outcome {
            PodOutcome::Ended { .. } => self
                .api::<Pod>()
                .logs(&pod.name_any(), &LogParams::default())
                .await
                .unwrap(),
            _ => String::new(),
        };
        Ended {
            outcome,
            log,
            nonce,
            after,
        }
    }

    /// Looks until it is there.
    async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if started.elapsed() > PATIENCE {
                let events = self
                    .api::<k8s_openapi::api::core::v1::Event>()
                    .list(&ListParams::default())
                    .await;
                let told: Vec<String> = events
                    .map(|e| e.items.into_iter().filter_map(|e| e.message).collect())
                    .unwrap_or_default();
                panic!("{what} did not come within {PATIENCE:?}; events: {told:#?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn remove(&self) {
        let gone = DeleteParams::background();
        let guard = format!("{}-pods", self.namespace);
        // What is not there need not go.
        let _ = self
            .cluster::<ValidatingAdmissionPolicyBinding>()
            .delete(&guard, &gone)
            .await;
        let _ = self.cluster::<ValidatingAdmissionPolicy>().delete(&guard, &gone).await;
        let _ = self.cluster::<Namespace>().delete(&self.namespace, &gone).await;
    }
}

/// Mounts a script of the test's own over the image's: it runs as a command of the analyze lane, as confined as any.
pub async fn with_script(arena: &Arena, script: &str) -> impl FnOnce(&mut Job) {
    let map = format!("fw-script-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    arena.config_map(&map, "stack-traces.py", script).await;
    move |job| {
        let pod = job.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
        let volume = json!({ "name": "scripts", "configMap": { "name": map } });
        let mount = json!({ "name": "scripts", "mountPath": "/usr/local/lib/firewatch", "readOnly": true });
        pod.volumes.as_mut().unwrap().push(from(volume));
        pod.containers[0].volume_mounts.as_mut().unwrap().push(from(mount));
    }
}
