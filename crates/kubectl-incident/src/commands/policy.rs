//! `kubectl incident policy`: which ResponsePolicy holds in a namespace, and what it allows.

use firewatch_core::api::ResponsePolicy;
use firewatch_core::approval::policy::{effective, faults};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::{columns, print, serialised};
use crate::cli::PolicyArgs;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::exit;
use crate::render::policy::{Told, screen};
use crate::render::style::Palette;

/// Tells.
pub async fn run(cluster: &Cluster, args: &PolicyArgs) -> Result<u8> {
    if args.dry_run {
        return super::rehearse::run(cluster, args).await;
    }
    let name = &cluster.namespace;
    let namespace = Api::<Namespace>::all(cluster.client.clone())
        .get(name)
        .await
        .map_err(|error| Error::from_kube(format!("read namespace {name}"), &error))?;
    let policies = Api::<ResponsePolicy>::all(cluster.client.clone())
        .list(&ListParams::default())
        .await
        .map_err(|error| Error::from_kube("list response policies", &error))?
        .items;
    let holds = effective(&policies, namespace.labels());
    let cannot = policies
        .iter()
        .find(|policy| policy.name_any() == holds.name)
        .map(|policy| faults(&policy.spec))
        .unwrap_or_default();
    // Who may not read bindings gets the rest.
    let opted_in = Api::<RoleBinding>::namespaced(cluster.client.clone(), name)
        .get_opt("firewatch-remediation")
        .await
        .map(|binding| binding.is_some())
        .ok();
    let told = Told::of(name, &holds, cannot, opted_in);
    print(&if args.output.is_some() {
        serialised(&told, false)?
    } else {
        screen(&told, columns(), Palette::for_stdout())
    })?;
    Ok(exit::OK)
}
