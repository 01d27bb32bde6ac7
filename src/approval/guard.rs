//! The operator's own look at the guards: admission policies, bindings and CRD rules, compared with what was compiled in. While
//! they differ nothing is executed. The executor's pod makes the same comparison itself, so this is for telling people early.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use firewatch_core::approval::guard::{CRDS, GuardState, Installation, Installed, POLICIES, compare};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::telemetry::metrics::Metrics;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(5);

/// The last comparison, shared.
#[derive(Clone)]
pub struct GuardWatch {
    client: Client,
    installation: Installation,
    state: Arc<RwLock<Option<GuardState>>>,
}

impl GuardWatch {
    /// Nothing is compared yet.
    pub fn new(client: Client, config: &Config) -> Self {
        let installation = Installation {
            operator_namespace: Some(config.namespace.clone()),
            operator_account: None,
            sandbox_namespace: Some(config.sandbox_namespace.clone()),
            sandbox_image: Some(config.sandbox_image.clone()),
        };
        Self {
            client,
            installation,
            state: Arc::default(),
        }
    }

    /// What the last look showed; none before the first.
    pub async fn state(&self) -> Option<GuardState> {
        self.state.read().await.clone()
    }

    /// Looks again and again until stopped. A look that fails is no proof that they stand.
    pub async fn watch(&self, metrics: Arc<Metrics>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! { _ = ticks.tick() => {}, () = stop.cancelled() => return }
            let seen = self.seen().await;
            metrics.guard_intact.set(i64::from(seen.intact));
            let mut state = self.state.write().await;
            let was = state.as_ref().map(|s| s.intact);
            if was != Some(seen.intact) {
                if seen.intact {
                    tracing::info!("the approval guard is intact");
                } else {
                    tracing::error!(differences = ?seen.differences, reason = "ApprovalGuardBroken", "nothing will be executed");
                }
            }
            *state = Some(seen);
        }
    }

    /// Looks once.
    pub async fn seen(&self) -> GuardState {
        match self.look().await {
            Ok(installed) => compare(&installed, &self.installation),
            Err(error) => GuardState {
                intact: false,
                differences: vec![format!("the admission policies could not be read: {error}")],
                ..GuardState::default()
            },
        }
    }

    async fn look(&self) -> kube::Result<Installed> {
        Ok(Installed {
            policies: found::<ValidatingAdmissionPolicy>(&self.client, &POLICIES).await?,
            bindings: found::<ValidatingAdmissionPolicyBinding>(&self.client, &POLICIES).await?,
            crds: found::<CustomResourceDefinition>(&self.client, &CRDS).await?,
        })
    }
}

async fn found<K>(client: &Client, names: &[&str]) -> kube::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let mut all = Vec::new();
    for name in names {
        all.extend(api.get_opt(name).await?);
    }
    Ok(all)
}
