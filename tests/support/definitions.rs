//! What every test against the real API server needs first: the way there, our kinds defined, and whether the chart is installed; then
//! whoever stands for the operator acts as it, since admission lets nobody else.

use std::time::Duration;

use firewatch_core::api::{Incident, RemediationApproval, definitions};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, Config, ResourceExt};
use tokio::sync::OnceCell;

pub const OPERATOR_NAMESPACE: &str = "firewatch-system";
const OPERATOR: &str = "system:serviceaccount:firewatch-system:firewatch";

/// The administrator's configuration, which the environment names.
pub async fn infer() -> Config {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Config::infer()
        .await
        .expect("KUBECONFIG leads to a cluster: `make cluster-up`, `eval \"$(tests/cluster/env.sh)\"`")
}

/// The configuration of a client that stands for the operator, and whether the chart is installed: then it acts as the operator.
pub async fn operator_config() -> (Config, bool) {
    let mut config = infer().await;
    let installed = Api::<ClusterRole>::all(Client::try_from(config.clone()).unwrap())
        .get_opt("firewatch-operator")
        .await
        .unwrap()
        .is_some();
    if installed {
        config.auth_info.impersonate = Some(OPERATOR.into());
        config.auth_info.impersonate_groups =
            Some(vec!["system:serviceaccounts".into(), "system:authenticated".into()]);
    }
    (config, installed)
}

/// Our kinds are defined and served, once for the whole process.
pub async fn defined(admin: &Client) {
    static READY: OnceCell<()> = OnceCell::const_new();
    READY.get_or_init(|| define(admin)).await;
}

async fn define(admin: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(admin.clone());
    for mut definition in definitions::all() {
        // The chart's are left as they are; and the chart, where it is installed later, takes these for its own.
        if api.get_opt(&definition.name_any()).await.unwrap().is_none() {
            let owned = [("release-name", "firewatch"), ("release-namespace", OPERATOR_NAMESPACE)];
            definition
                .labels_mut()
                .insert("app.kubernetes.io/managed-by".into(), "Helm".into());
            definition
                .annotations_mut()
                .extend(owned.map(|(key, value)| (format!("meta.helm.sh/{key}"), value.into())));
            match api.create(&PostParams::default(), &definition).await {
                // Another test program may be as far.
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                made => drop(made.unwrap()),
            }
        }
    }
    let approvals: Api<RemediationApproval> = Api::all(admin.clone());
    let incidents: Api<Incident> = Api::all(admin.clone());
    let one = ListParams::default().limit(1);
    for _ in 0..100 {
        if incidents.list(&one).await.is_ok() && approvals.list(&one).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the API server does not serve the definitions");
}
