//! Credentials that are refused because they were changed after the pod had read them. Secrets are named, never read. Called by
//! `dependencies`.

use k8s_openapi::api::core::v1::Container;

use crate::diagnosis::analyzers::View;
use crate::diagnosis::facts::{PodFacts, Workload};

/// Credentials from a Secret are read when a pod starts. Where another pod that reads the same Secret started later and is well, the
/// Secret has most likely changed in between.
pub(super) fn stale_secret(view: &View<'_>, workload: &Workload<'_>, container: &str) -> Option<(String, String)> {
    let secrets = secrets_of(workload.container(container)?);
    let own = workload.pods.iter().filter_map(PodFacts::created).max()?;
    view.facts
        .workloads
        .iter()
        .filter(|other| other.name != workload.name)
        .find_map(|other| {
            let shared = other
                .containers()
                .iter()
                .flat_map(secrets_of)
                .find(|name| secrets.contains(name))?;
            let later = other
                .pods
                .iter()
                .any(|pod| pod.is_ready() && pod.created().is_some_and(|created| created > own));
            later.then(|| {
                (
                    format!(
                        "its pods started before those of {}, which read the same Secret {shared} and are well: the Secret has changed since, and a variable from a Secret is read at the start alone",
                        other.name
                    ),
                    other.evidence.to_owned(),
                )
            })
        })
}

fn secrets_of(container: &Container) -> Vec<&str> {
    let whole = container
        .env_from
        .iter()
        .flatten()
        .filter_map(|source| source.secret_ref.as_ref())
        .map(|secret| secret.name.as_str());
    let keys = container
        .env
        .iter()
        .flatten()
        .filter_map(|variable| variable.value_from.as_ref()?.secret_key_ref.as_ref())
        .map(|secret| secret.name.as_str());
    whole.chain(keys).collect()
}
