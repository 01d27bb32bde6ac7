//! Server-side apply of a scenario's manifests, and the namespace that they live in.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, RoleRef};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::Scope;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::error::{Error, Result};

const MANAGER: &str = "kubectl-incident";
/// The label by which a namespace lets Firewatch repair what is in it.
pub const OPT_IN: &str = "firewatch.dev/remediation";

/// Makes the namespace, opted in to repairs. Whether it is new.
pub async fn namespace(cluster: &Cluster, name: &str) -> Result<bool> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    namespace.metadata.labels = Some(BTreeMap::from([
        (OPT_IN.to_owned(), "enabled".to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned()),
    ]));
    match api.create(&PostParams::default(), &namespace).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
        Err(error) => Err(Error::from_kube(format!("create namespace {name}"), &error)),
    }
}

/// The ClusterRole of the action catalogue; bound in a namespace, it lets the executor carry out approved plans there.
const REMEDIATION: &str = "firewatch-remediation";
/// The installation's own binding of the executor, which names its ServiceAccount.
const EXECUTOR: &str = "firewatch-executor-approvals";

/// Lets the executor of this installation repair in the cluster's namespace, as the chart's `remediation.namespaces` would.
pub async fn opt_in(cluster: &Cluster) -> Result<()> {
    let installed: Api<ClusterRoleBinding> = Api::all(cluster.client.clone());
    let executor = installed
        .get(EXECUTOR)
        .await
        .map_err(|error| Error::from_kube(format!("read ClusterRoleBinding {EXECUTOR}"), &error))?;
    let binding = RoleBinding {
        metadata: ObjectMeta {
            name: Some(REMEDIATION.to_owned()),
            ..ObjectMeta::default()
        },
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: REMEDIATION.to_owned(),
        },
        subjects: executor.subjects,
    };
    let bindings: Api<RoleBinding> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    match bindings.create(&PostParams::default(), &binding).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(Error::from_kube(
            format!("bind {REMEDIATION} in {}", cluster.namespace),
            &error,
        )),
    }
}

/// Deletes the namespace; its end is not waited for.
pub async fn delete_namespace(cluster: &Cluster, name: &str) -> Result<()> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::from_kube(format!("delete namespace {name}"), &error)),
    }
}

/// Applies one object in the cluster's namespace.
pub async fn apply(cluster: &Cluster, object: &Value) -> Result<()> {
    let mut object: DynamicObject = serde_json::from_value(object.clone())
        .map_err(|e| Error::Input(format!("a manifest holds something that is no Kubernetes object: {e}")))?;
    let types = object
        .types
        .clone()
        .ok_or_else(|| Error::Input("a manifest's object has no apiVersion and kind".to_owned()))?;
    let name = object
        .metadata
        .name
        .clone()
        .ok_or_else(|| Error::Input(format!("a {} has no metadata.name", types.kind)))?;
    let doing = || format!("apply {} {name}", types.kind);
    let gvk = GroupVersionKind::try_from(&types).map_err(|e| Error::Input(format!("{} {name}: {e}", types.kind)))?;
    let (resource, capabilities): (ApiResource, _) = kube::discovery::pinned_kind(&cluster.client, &gvk)
        .await
        .map_err(|error| Error::from_kube(doing(), &error))?;
    let api: Api<DynamicObject> = if capabilities.scope == Scope::Cluster {
        // A name of the run's own, and its end is that of the namespace: the garbage collector sees to it.
        if !name.contains(&cluster.namespace) {
            return Err(Error::Input(format!(
                "{} {name}: an object without a namespace needs {{namespace}} in its name, so that two runs do not meet",
                types.kind
            )));
        }
        object.metadata.owner_references = Some(vec![owner(cluster).await?]);
        Api::all_with(cluster.client.clone(), &resource)
    } else {
        object.metadata.namespace = Some(cluster.namespace.clone());
        Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource)
    };
    api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object))
        .await
        .map_err(|error| Error::from_kube(doing(), &error))?;
    Ok(())
}

/// The run's namespace as an owner.
async fn owner(cluster: &Cluster) -> Result<OwnerReference> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let namespace = namespaces
        .get(&cluster.namespace)
        .await
        .map_err(|error| Error::from_kube(format!("read namespace {}", cluster.namespace), &error))?;
    Ok(OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        name: cluster.namespace.clone(),
        uid: namespace.metadata.uid.unwrap_or_default(),
        ..OwnerReference::default()
    })
}
