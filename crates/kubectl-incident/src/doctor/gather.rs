//! Reads what `judge` needs, with the caller's own rights; what is refused is noted as that. It writes nothing but access reviews,
//! which the API server answers and keeps nowhere, and reads no Secret.

use std::fmt::Debug;

use firewatch_core::approval::guard::{CRDS, POLICIES};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::facts::{Facts, Read, Right};
use super::{judge, rights};
use crate::error::{Error, Result};

/// Labels of what the chart installs.
const LABELS: &str = "app.kubernetes.io/name=firewatch";
/// Where the chart is installed unless somebody chose another place.
const NAMESPACE: &str = "firewatch-system";
/// Where the chart puts the sandbox unless somebody chose another place.
const SANDBOX: &str = "firewatch-sandbox";
/// Access reviews at the same time.
const CONCURRENT: usize = 6;
/// Incidents that are looked at.
const INCIDENTS: u32 = 500;

/// Reads an installation. `namespace`: of the operator; where it is not given it is looked for.
pub async fn gather(client: &Client, namespace: Option<&str>, now: Timestamp) -> Result<Facts> {
    // Whether anybody answers at all; everything after that is noted and not fatal.
    client
        .apiserver_version()
        .await
        .map_err(|error| Error::from_kube("ask the API server for its version", &error))?;
    let namespace = match namespace {
        Some(namespace) => namespace.to_owned(),
        None => found_namespace(client).await.unwrap_or_else(|| NAMESPACE.to_owned()),
    };
    let labelled = ListParams::default().labels(LABELS);
    let deployments: Read<Vec<Deployment>> = list(&Api::namespaced(client.clone(), &namespace), &labelled).await;
    let sandbox_namespace = match &deployments {
        Read::Got(all) => judge::env(all.first(), "FIREWATCH_SANDBOX_NAMESPACE"),
        Read::Not(_) => None,
    }
    .unwrap_or(SANDBOX)
    .to_owned();
    let all = ListParams::default();
    let accounts: Read<Vec<ServiceAccount>> = list(&Api::namespaced(client.clone(), &sandbox_namespace), &all).await;
    let bound: Read<Vec<RoleBinding>> = list(
        &Api::all(client.clone()),
        &ListParams::default().fields("metadata.name=firewatch-remediation"),
    )
    .await;
    let class: Read<Option<PriorityClass>> = one(&Api::all(client.clone()), "firewatch-sandbox").await;
    let sandbox: Read<Option<Namespace>> = one(&Api::all(client.clone()), &sandbox_namespace).await;
    Ok(Facts {
        now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        crds: named(client, &CRDS).await,
        policies: named(client, &POLICIES).await,
        bindings: named(client, &POLICIES).await,
        pods: list(&Api::namespaced(client.clone(), &namespace), &labelled).await,
        lease: one(&Api::namespaced(client.clone(), &namespace), "firewatch").await,
        quotas: list(&Api::namespaced(client.clone(), &sandbox_namespace), &all).await,
        sandbox_pods: list(&Api::namespaced(client.clone(), &sandbox_namespace), &all).await,
        incidents: list(&Api::all(client.clone()), &ListParams::default().limit(INCIDENTS)).await,
        accounts: map(accounts, |all| all.iter().map(ResourceExt::name_any).collect()),
        priority_class: map(class, |class| class.is_some()),
        remediation: map(bound, |all| all.iter().filter_map(ResourceExt::namespace).collect()),
        rights: rights_of(client, rights::asked(&namespace, &sandbox_namespace)).await,
        sandbox,
        deployments,
        sandbox_namespace,
        namespace,
    })
}

/// The namespace of the only installation, where all namespaces may be listed.
async fn found_namespace(client: &Client) -> Option<String> {
    let api: Api<Deployment> = Api::all(client.clone());
    let found = api.list(&ListParams::default().labels(LABELS)).await.ok()?;
    found.items.first().and_then(ResourceExt::namespace)
}

fn map<A, B>(read: Read<A>, with: impl FnOnce(A) -> B) -> Read<B> {
    match read {
        Read::Got(value) => Read::Got(with(value)),
        Read::Not(why) => Read::Not(why),
    }
}

fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

async fn list<K>(api: &Api<K>, parameters: &ListParams) -> Read<Vec<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    match api.list(parameters).await {
        Ok(list) => Read::Got(list.items),
        // A kind that is not installed has no objects.
        Err(kube::Error::Api(status)) if status.code == 404 => Read::Got(Vec::new()),
        Err(error) => Read::Not(words(&error)),
    }
}

async fn one<K>(api: &Api<K>, name: &str) -> Read<Option<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    match api.get_opt(name).await {
        Ok(found) => Read::Got(found),
        Err(error) => Read::Not(words(&error)),
    }
}

async fn named<K>(client: &Client, names: &[&str]) -> Read<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let mut all = Vec::new();
    for name in names {
        match one(&api, name).await {
            Read::Got(found) => all.extend(found),
            Read::Not(why) => return Read::Not(why),
        }
    }
    Read::Got(all)
}

async fn rights_of(client: &Client, asked: Vec<Right>) -> Vec<(Right, Read<bool>)> {
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    futures::stream::iter(asked)
        .map(|right| {
            let api = api.clone();
            async move {
                let answer = match api.create(&PostParams::default(), &review(&right)).await {
                    Ok(answer) => Read::Got(answer.status.is_some_and(|status| status.allowed)),
                    Err(error) => Read::Not(words(&error)),
                };
                (right, answer)
            }
        })
        .buffered(CONCURRENT)
        .collect()
        .await
}

fn review(right: &Right) -> SubjectAccessReview {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource, None),
    };
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!(
                "system:serviceaccount:{}:{}",
                right.account_namespace, right.account
            )),
            groups: Some(vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{}", right.account_namespace),
                "system:authenticated".to_owned(),
            ]),
            resource_attributes: Some(ResourceAttributes {
                group: Some(right.group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                verb: Some(right.verb.to_owned()),
                namespace: right.namespace.clone(),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}
