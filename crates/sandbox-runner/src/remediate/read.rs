//! What the executor reads before it decides: the approval, its incident, every policy, the namespace, the guards. Each from the API
//! server, now; nothing is passed in. Called by `mod` and, again before each action, by `act`.

use std::collections::BTreeMap;
use std::fmt::Debug;

use firewatch_core::api::{Incident, RemediationApproval, ResponsePolicy};
use firewatch_core::approval::guard::{CRDS, Installed, POLICIES};
use firewatch_core::approval::policy;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
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
    /// How many approvals of this namespace were claimed in the last hour; only counted where a policy decided.
    pub claimed_last_hour: Option<i32>,
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
        let by_policy = approval
            .spec
            .approver
            .as_deref()
            .is_some_and(|approver| approver.starts_with("responsepolicy:"));
        let claimed_last_hour = if by_policy {
            Some(claims(&approvals).await?)
        } else {
            None
        };
        Ok(Self {
            approval,
            incident,
            policies,
            namespace_labels,
            claimed_last_hour,
        })
    }

    /// Why to stop before the next action: somebody cancelled, deleted or suspended.
    pub async fn stop(&self, client: &Client) -> Result<Option<String>, Fault> {
        let namespace = self.approval.metadata.namespace.clone().unwrap_or_default();
        let reference = &self.approval.spec.incident_ref;
        let (incident, policies, labels) = around(client, &namespace, &reference.name).await?;
        let gone = incident.as_ref().is_none_or(|incident| {
            incident.metadata.uid.as_deref() != Some(reference.uid.as_str())
                || incident.metadata.deletion_timestamp.is_some()
        });
        if gone {
            return Ok(Some("IncidentDeleted: the incident is gone".to_owned()));
        }
        if incident.is_some_and(|incident| incident.spec.cancelled) {
            return Ok(Some("Cancelled: the incident was cancelled".to_owned()));
        }
        let effective = policy::effective(&policies, &labels);
        if effective.suspended {
            return Ok(Some(format!(
                "Suspended: ResponsePolicy {} is suspended",
                effective.name
            )));
        }
        Ok(None)
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

async fn claims(approvals: &Api<RemediationApproval>) -> Result<i32, Fault> {
    let since = Timestamp::now()
        .checked_sub(SignedDuration::from_hours(1))
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let all = approvals
        .list(&ListParams::default())
        .await
        .map_err(unreadable("the approvals of the namespace"))?;
    let recent = all
        .items
        .iter()
        .filter_map(|approval| approval.status.as_ref()?.claim.as_ref()?.at.as_ref())
        .filter(|at| at.0 >= since)
        .count();
    Ok(i32::try_from(recent).unwrap_or(i32::MAX))
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
