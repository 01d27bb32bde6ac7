//! What the executor reads before it decides: the approval, its incident, every policy, the namespace, the guards. Each from the API
//! server, now; nothing is passed in. Called by `mod` and, again before each action, by `act`.

use std::collections::BTreeMap;
use std::fmt::Debug;

use firewatch_core::api::{Incident, RemediationApproval, ResponsePolicy};
use firewatch_core::approval::guard::{CRDS, Installed, POLICIES};
use firewatch_core::approval::history::{self, History};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::Fault;

/// The approval and what stands around it.
pub struct World {
    /// The approval.
    pub approval: RemediationApproval,
    /// Its incident.
    pub incident: Option<Incident>,
    /// Every policy.
    pub policies: Vec<ResponsePolicy>,
    /// Labels of its namespace.
    pub namespace_labels: BTreeMap<String, String>,
    /// What was repaired in this namespace before; only read where a policy decided.
    pub history: Option<History>,
}

pub(super) fn unreadable(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Fault {
    let what = what.into();
    move |error| Fault::Unreadable {
        what,
        error: error.to_string(),
    }
}

impl World {
    /// Reads all of it.
    pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Self, Fault> {
        let approvals: Api<RemediationApproval> = Api::namespaced(client.clone(), namespace);
        let approval = approvals
            .get_opt(name)
            .await
            .map_err(unreadable(format!("RemediationApproval {namespace}/{name}")))?
            .ok_or_else(|| Fault::ApprovalMissing(format!("{namespace}/{name}")))?;
        let (incident, policies, namespace_labels) =
            around(client, namespace, &approval.spec.incident_ref.name).await?;
        let history = if history::is_by_policy(&approval) {
            Some(past(client, namespace).await?)
        } else {
            None
        };
        Ok(Self {
            approval,
            incident,
            policies,
            namespace_labels,
            history,
        })
    }
}

type Around = (Option<Incident>, Vec<ResponsePolicy>, BTreeMap<String, String>);

async fn around(client: &Client, namespace: &str, incident: &str) -> Result<Around, Fault> {
    let incidents: Api<Incident> = Api::namespaced(client.clone(), namespace);
    let incident = incidents.get_opt(incident).await.map_err(unreadable("the incident"))?;
    let policies: Api<ResponsePolicy> = Api::all(client.clone());
    let policies = policies
        .list(&ListParams::default())
        .await
        .map_err(unreadable("the ResponsePolicies"))?
        .items;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = namespaces.get(namespace).await.map_err(unreadable("the namespace"))?;
    Ok((incident, policies, found.metadata.labels.unwrap_or_default()))
}

async fn past(client: &Client, namespace: &str) -> Result<History, Fault> {
    let approvals: Api<RemediationApproval> = Api::namespaced(client.clone(), namespace);
    let approvals = approvals
        .list(&ListParams::default())
        .await
        .map_err(unreadable("the approvals of the namespace"))?;
    let incidents: Api<Incident> = Api::namespaced(client.clone(), namespace);
    let incidents = incidents
        .list(&ListParams::default())
        .await
        .map_err(unreadable("the incidents of the namespace"))?;
    Ok(History::of(&approvals.items, &incidents.items))
}

/// The guards, as installed.
pub async fn guards(client: &Client) -> Result<Installed, Fault> {
    Ok(Installed {
        policies: found::<ValidatingAdmissionPolicy>(client, &POLICIES).await?,
        bindings: found::<ValidatingAdmissionPolicyBinding>(client, &POLICIES).await?,
        crds: found::<CustomResourceDefinition>(client, &CRDS).await?,
    })
}

async fn found<K>(client: &Client, names: &[&str]) -> Result<Vec<K>, Fault>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let mut all = Vec::new();
    for name in names {
        all.extend(api.get_opt(name).await.map_err(unreadable(format!("guard {name}")))?);
    }
    Ok(all)
}
