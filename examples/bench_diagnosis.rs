//! `make bench`: how long from `apply` to `Diagnosed`, symptom present and image warm, as a ratio to bare sandbox Jobs of as many
//! rounds, measured in the same run. Prints a table; asserts nothing. Needs the chart installed and KUBECONFIG.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use firewatch_core::api::status::JobPurpose;
use firewatch_core::api::{Incident, IncidentStatus, Role};
use firewatch_core::sandbox::command::{Command, Lane, Resource, Scope};
use firewatch_core::sandbox::job::{JobPlan, RequestLane, Work, build};
use firewatch_core::sandbox::policy::Tenancy;
use firewatch_core::sandbox::request::{KEY, SandboxRequest};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Config, ResourceExt};
use kubectl_incident::cluster::Cluster;
use kubectl_incident::scenario::files::Library;
use kubectl_incident::scenario::{apply, steps};

const SANDBOX: &str = "firewatch-sandbox";
const RUNS: usize = 5;

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_default()
        .await
        .expect("KUBECONFIG leads to a cluster: make install");
    let mut config = Config::infer().await.unwrap();
    config.auth_info.impersonate = Some("system:serviceaccount:firewatch-system:firewatch".into());
    config.auth_info.impersonate_groups = Some(vec!["system:serviceaccounts".into(), "system:authenticated".into()]);
    let operator = Client::try_from(config).unwrap();
    println!("| scenario | rounds | to Diagnosed, median of {RUNS} | bare Jobs of as many rounds | ratio |");
    println!("|---|---|---|---|---|");
    for scenario in ["crashloop", "cascading_failure"] {
        let (rounds, ours) = diagnoses(&client, scenario).await;
        let floor = bare_jobs(&operator, rounds).await;
        println!(
            "| {scenario} | {rounds} | {:.1} s | {:.1} s | {:.2} |",
            ours.as_secs_f64(),
            floor.as_secs_f64(),
            ours.as_secs_f64() / floor.as_secs_f64()
        );
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Breaks the scenario's workload and asks again and again.
async fn diagnoses(client: &Client, name: &str) -> (usize, Duration) {
    let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(6).collect();
    let namespace = format!("bench-{id}");
    let cluster = Cluster::with_client(client.clone(), &namespace);
    let library = Library::built_in();
    let scenario = library.scenario(name).unwrap();
    apply::namespace(&cluster, &namespace).await.unwrap();
    steps::breaks(&cluster, &library, &scenario, |_| {}).await.unwrap();
    let incidents = cluster.incidents();
    let mut times = Vec::new();
    let mut rounds = 1;
    for run in 0..RUNS {
        let mut incident: Incident =
            serde_json::from_value(library.objects(name, "incident.yaml").unwrap().remove(0)).unwrap();
        incident.metadata.name = Some(format!("bench-{run}"));
        let began = Instant::now();
        incidents.create(&PostParams::default(), &incident).await.unwrap();
        let status = until_diagnosed(&incidents, &incident.name_any()).await;
        times.push(began.elapsed());
        let asked = status
            .jobs
            .iter()
            .filter(|j| j.purpose == JobPurpose::Evidence)
            .map(|j| j.round)
            .max()
            .unwrap_or(1);
        rounds = usize::try_from(asked).unwrap_or(1);
        let cancel = serde_json::json!({ "spec": { "cancelled": true } });
        incidents
            .patch(&incident.name_any(), &PatchParams::default(), &Patch::Merge(cancel))
            .await
            .unwrap();
    }
    apply::delete_namespace(&cluster, &namespace).await.unwrap();
    (rounds, median(times))
}

async fn until_diagnosed(incidents: &Api<Incident>, name: &str) -> IncidentStatus {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        let status = incidents.get(name).await.unwrap().status.unwrap_or_default();
        let is_diagnosed = status
            .conditions
            .iter()
            .any(|c| c.type_ == "Diagnosed" && c.status == "True");
        if is_diagnosed || Instant::now() > deadline {
            assert!(is_diagnosed, "{name} was not diagnosed: {status:?}");
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The floor: observe Jobs of the same shape, one after the other, until each pod has ended. One warms up.
async fn bare_jobs(operator: &Client, rounds: usize) -> Duration {
    let deployment: Deployment = Api::namespaced(Client::try_default().await.unwrap(), "firewatch-system")
        .get("firewatch")
        .await
        .unwrap();
    let env = deployment.spec.unwrap().template.spec.unwrap().containers[0]
        .env
        .clone()
        .unwrap();
    let image = env
        .into_iter()
        .find(|e| e.name == "FIREWATCH_SANDBOX_IMAGE")
        .and_then(|e| e.value)
        .unwrap();
    let mut times = Vec::new();
    for run in 0..=RUNS {
        let began = Instant::now();
        for _ in 0..rounds {
            bare_job(operator, &image).await;
        }
        if run > 0 {
            times.push(began.elapsed());
        }
    }
    median(times)
}

async fn bare_job(operator: &Client, image: &str) {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("fw-bench-{id}");
    let command = Command::Get {
        resources: vec![Resource::Pods, Resource::Deployments],
        scope: Scope::Namespace("default".into()),
        name: None,
    };
    let (request, _) = SandboxRequest::new(
        id.clone(),
        Role::SreInvestigator,
        Lane::Observe,
        Tenancy::Namespaces(vec!["default".into()]),
        &[command],
    );
    let config_maps: Api<ConfigMap> = Api::namespaced(operator.clone(), SANDBOX);
    let config_map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(
            KEY.to_owned(),
            serde_json::to_string(&request).unwrap(),
        )])),
        immutable: Some(true),
        ..ConfigMap::default()
    };
    config_maps.create(&PostParams::default(), &config_map).await.unwrap();
    let jobs: Api<Job> = Api::namespaced(operator.clone(), SANDBOX);
    let job = build(&JobPlan {
        name: name.clone(),
        namespace: SANDBOX.into(),
        image: image.into(),
        incident_uid: id,
        incident: "default/bench".into(),
        work: Work::Request {
            role: Role::SreInvestigator,
            lane: RequestLane::Observe,
            request: name.clone(),
            evidence: Vec::new(),
        },
    });
    jobs.create(&PostParams::default(), &job).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(operator.clone(), SANDBOX);
    let mine = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let ended = pods.list(&mine).await.unwrap().items.iter().any(|p| {
            p.status
                .as_ref()
                .is_some_and(|s| matches!(s.phase.as_deref(), Some("Succeeded" | "Failed")))
        });
        if ended {
            break;
        }
        assert!(Instant::now() < deadline, "a bare Job did not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    jobs.delete(&name, &DeleteParams::background()).await.unwrap();
    config_maps.delete(&name, &DeleteParams::default()).await.unwrap();
}
