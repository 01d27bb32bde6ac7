//! The operator's life: clients, lease, watches, controllers, and an orderly end. Called by `main`.
//!
//! Losing the lease ends the process: what this process believed to own is then someone else's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use firewatch_core::api::{Incident, RemediationApproval, ResponsePolicy};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::runtime::controller::{Config as ControllerConfig, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use kube_lease_manager::LeaseManagerBuilder;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::api_server;
use crate::approval::guard::GuardWatch;
use crate::approval::policies;
use crate::config::Config;
use crate::incident::context::Context;
use crate::incident::payload::UID_LABEL;
use crate::incident::reconcile::{self, Backoff};
use crate::intake;
use crate::model::{ModelConfig, ModelConfigError, Models};
use crate::notify::sender::{Pace, Sender};
use crate::notify::{Notifier, NotifyError};
use crate::prometheus::{Prometheus, PrometheusConfigError};
use crate::sandbox::jobs::INCIDENT_ANNOTATION;
use crate::store;
use crate::telemetry::http::Shown;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{self, gauges, http};

/// Why the operator could not run, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No client.
    #[error("no way to the API server: {0}")]
    Client(#[from] kube::Error),
    /// No kubeconfig, no in-cluster configuration.
    #[error("no way to the API server: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// No record, no operator.
    #[error("{0}")]
    Store(#[from] store::StoreError),
    /// Neither Postgres nor a file was named.
    #[error("DATABASE_URL is not set: set it, or give --audit=file to keep the record in a file (for a single user)")]
    NoStore,
    /// Leader election.
    #[error("the lease could not be had: {0}")]
    Lease(#[from] kube_lease_manager::LeaseManagerError),
    /// What was said of models cannot be used.
    #[error("{0}")]
    Model(#[from] ModelConfigError),
    /// What was said of a Prometheus cannot be used.
    #[error("{0}")]
    Prometheus(#[from] PrometheusConfigError),
    /// Someone else leads now.
    #[error("the lease was lost")]
    LeaseLost,
    /// The CRDs are not installed.
    #[error("CustomResourceDefinition {0} is missing: install the chart, or apply crds/")]
    NoCrd(String),
    /// The intake is configured in a way in which it cannot run.
    #[error("{0}")]
    Intake(#[from] crate::intake::IntakeError),
    /// The HTTP API is configured in a way in which it cannot run.
    #[error("{0}")]
    Api(#[from] crate::api_server::ApiError),
    /// Nobody can be told what is to be told.
    #[error("{0}")]
    Notify(#[from] NotifyError),
    /// The port is taken.
    #[error("/metrics could not be served: {0}")]
    Listen(#[from] std::io::Error),
}

/// Runs until told to stop.
pub async fn run(config: Config) -> Result<(), RunError> {
    telemetry::init_logs();
    let stop = CancellationToken::new();
    let metrics = Arc::new(Metrics::default());
    let ready = Arc::new(AtomicBool::new(false));
    let shown = Shown {
        metrics: metrics.clone(),
        ready: ready.clone(),
    };
    let server = tokio::spawn(http::serve(config.listen, shown, stop.clone()));
    let way = kube::Config::infer().await?;
    let client = Client::try_from(way.clone())?;
    let sink = store::open(
        config.database_url.as_deref(),
        config.audit.as_deref(),
        &config.audit_file,
    )
    .await?
    .ok_or(RunError::NoStore)?;
    let models = ModelConfig::from_args(&config.model)?.map(Models::new).transpose()?;
    let notifier = config.notify.load()?.map(|plan| Arc::new(Notifier::new(plan)));
    let sender = notifier
        .clone()
        .map(|notifier| {
            let reporter = reporter(&config);
            let recorder = Recorder::new(client.clone(), reporter);
            Sender::new(sink.clone(), notifier, metrics.clone(), Some(recorder), Pace::default())
        })
        .transpose()?;
    let prometheus = Prometheus::from_args(&config.prometheus)?;
    crds_installed(&client).await?;
    // Before the lease: a webhook is taken whoever leads.
    let alerts = Arc::new(intake::store::Store::new(
        client.clone(),
        &config.namespace,
        metrics.clone(),
    ));
    let intake = intake::server::start(&config.intake, alerts.clone(), metrics.clone(), stop.clone()).await?;
    let ways = api_server::server::Ways {
        client: client.clone(),
        authority: Box::new(api_server::access::Cluster::new(
            client.clone(),
            config.api.audiences.clone(),
        )),
        as_caller: api_server::approval::as_caller(&way),
        operator_namespace: config.namespace.clone(),
        labels: config.intake.labels()?,
        metrics: metrics.clone(),
    };
    let api = api_server::server::start(&config.api, ways, stop.clone()).await?;
    ready.store(true, Ordering::Relaxed);
    tracing::info!(namespace = %config.namespace, sandbox = %config.sandbox_namespace, image = %config.sandbox_image, "started");

    let identity = config
        .identity
        .clone()
        .unwrap_or_else(|| format!("firewatch-{}", std::process::id()));
    let lease = LeaseManagerBuilder::new(client.clone(), "firewatch")
        .with_namespace(&config.namespace)
        .with_identity(&identity)
        .with_duration(15)
        .with_grace(5)
        .build()
        .await?;
    let (mut leading, lease_loop) = lease.watch().await;
    stop_on_signal(stop.clone());
    tokio::select! {
        led = leading.wait_for(|held| *held) => if led.is_err() { return Err(RunError::LeaseLost) },
        () = stop.cancelled() => return Ok(()),
    }
    metrics.leader.set(1);
    tracing::info!(%identity, "leading");
    let lost = {
        let stop = stop.clone();
        let mut leading = leading.clone();
        tokio::spawn(async move {
            let lost = leading.wait_for(|held| !*held).await.is_ok();
            stop.cancel();
            lost
        })
    };

    let controllers = control(
        client,
        config,
        sink,
        alerts,
        Outside {
            models,
            prometheus,
            notifier,
            sender,
        },
        metrics.clone(),
        stop.clone(),
    );
    Box::pin(controllers).await;
    metrics.leader.set(0);
    // Dropping every receiver releases the lease.
    drop(leading);
    let was_lost = lost.is_finished() && lost.await.unwrap_or(false);
    let _ = tokio::time::timeout(Duration::from_secs(5), lease_loop).await;
    if let Some(intake) = intake {
        let _ = tokio::time::timeout(Duration::from_secs(1), intake.task).await;
    }
    if let Some(api) = api {
        let _ = tokio::time::timeout(Duration::from_secs(1), api.task).await;
    }
    server.abort();
    tracing::info!("stopped");
    if was_lost { Err(RunError::LeaseLost) } else { Ok(()) }
}

async fn crds_installed(client: &Client) -> Result<(), RunError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in [
        "incidents.firewatch.dev",
        "remediationapprovals.firewatch.dev",
        "responsepolicies.firewatch.dev",
    ] {
        if api.get_opt(name).await?.is_none() {
            return Err(RunError::NoCrd(name.to_owned()));
        }
    }
    Ok(())
}

/// What is asked and told besides the API server, where it is configured.
struct Outside {
    models: Option<Models>,
    prometheus: Option<Prometheus>,
    notifier: Option<Arc<Notifier>>,
    sender: Option<Sender>,
}

async fn control(
    client: Client,
    config: Config,
    sink: Arc<dyn store::AuditSink>,
    alerts: Arc<intake::store::Store>,
    outside: Outside,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let (policies, policy_writer) = reflector::store();
    let policy_stream = reflector::reflector(
        policy_writer,
        watcher(Api::<ResponsePolicy>::all(client.clone()), watcher::Config::default()).default_backoff(),
    );
    let guard = GuardWatch::new(client.clone(), &config);
    let incidents: Api<Incident> = Api::all(client.clone());
    let controller = Controller::new(incidents, watcher::Config::default()).with_config(
        ControllerConfig::default().concurrency(u16::try_from(config.max_concurrent.clamp(1, 64)).unwrap_or(16)),
    );
    let sandbox: Api<Pod> = Api::namespaced(client.clone(), &config.sandbox_namespace);
    let ctx = Arc::new(Context {
        client: client.clone(),
        sink,
        models: outside.models,
        prometheus: outside.prometheus,
        metrics: metrics.clone(),
        recorder: Recorder::new(client.clone(), reporter(&config)),
        notifier: outside.notifier,
        guard: guard.clone(),
        policies,
        incidents: controller.store(),
        beginning: Mutex::default(),
        records: Mutex::new(HashMap::new()),
        relayed: Mutex::new(HashMap::new()),
        config,
    });
    tokio::spawn(gauges::keep(ctx.clone(), stop.clone()));
    // A policy that says something else is looked at at once by all that wait.
    let (changed, policies_changed) = futures::channel::mpsc::unbounded();
    let policy_loop = policies::watch(ctx.clone(), policy_stream, changed, stop.clone());
    let sweep_loop = intake::sweep::sweep(ctx.clone(), alerts, stop.clone());
    let guard_loop = guard.watch(metrics, stop.clone());
    let told = async {
        if let Some(sender) = &outside.sender {
            sender.run(stop.clone()).await;
        }
    };
    let incident_loop = controller
        .owns(Api::<RemediationApproval>::all(client), watcher::Config::default())
        .watches(sandbox, watcher::Config::default().labels(UID_LABEL), |pod: Pod| {
            incident_of(&pod)
        })
        .reconcile_all_on(policies_changed)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            reconcile::reconcile,
            reconcile::error_policy,
            Arc::new((ctx, Backoff::default())),
        )
        .for_each(|result| async move {
            if let Err(error) = result {
                tracing::debug!(%error, "controller");
            }
        });
    tokio::join!(policy_loop, guard_loop, incident_loop, sweep_loop, told);
}

/// Who events are from.
fn reporter(config: &Config) -> Reporter {
    Reporter {
        controller: "firewatch".into(),
        instance: config.identity.clone(),
    }
}

/// The incident that a sandbox pod belongs to, as its annotation says; the annotation is ours, which admission guards.
fn incident_of(pod: &Pod) -> Option<ObjectRef<Incident>> {
    let (namespace, name) = pod.annotations().get(INCIDENT_ANNOTATION)?.split_once('/')?;
    Some(ObjectRef::new(name).within(namespace))
}

fn stop_on_signal(stop: CancellationToken) {
    tokio::spawn(async move {
        let interrupt = tokio::signal::ctrl_c();
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! { _ = interrupt => {}, _ = terminate.recv() => {} }
            }
            Err(_) => drop(interrupt.await),
        }
        tracing::info!("stopping");
        stop.cancel();
    });
}
