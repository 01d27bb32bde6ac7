//! The steps by which a scenario breaks its workload, and the commands of its author. They come from the scenario's files,
//! never from the cluster. Called by `kubectl incident run` and by the end-to-end tests.

use std::time::Duration;

use super::files::Library;
use super::{Checks, Scenario, apply, check};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::render::text::shell;

/// What a scenario's files say for the namespace of this run.
pub const NAMESPACE: &str = "{namespace}";

/// Takes all steps and waits until the workload is really broken; returns how long the symptom took. `tell` hears of each.
pub async fn breaks(
    cluster: &Cluster,
    library: &Library,
    scenario: &Scenario,
    tell: impl Fn(&str),
) -> Result<Duration> {
    for (number, step) in scenario.steps.iter().enumerate() {
        if let Some(file) = &step.apply {
            tell(&format!("applying {file}"));
            for object in library.objects_in(&scenario.name, file, &cluster.namespace)? {
                apply::apply(cluster, &object).await?;
            }
        }
        for argv in &step.run {
            command(cluster, argv, &tell).await?;
        }
        if !step.wait_for.is_empty() {
            let checks = Checks {
                timeout_seconds: step.timeout_seconds,
                settle_seconds: 0,
                checks: step.wait_for.clone(),
            };
            let what = step.apply.clone().unwrap_or_else(|| format!("step {}", number + 1));
            check::wait(cluster, &checks, &format!("after {what}")).await?;
        }
    }
    tell("waiting until it is really broken");
    check::wait(cluster, &scenario.symptom, "the symptom").await
}

/// Runs one command of the scenario's author against this cluster and namespace.
pub async fn command(cluster: &Cluster, argv: &[String], tell: impl Fn(&str)) -> Result<()> {
    let Some((program, arguments)) = argv.split_first() else {
        return Ok(());
    };
    let mut arguments: Vec<String> = arguments
        .iter()
        .map(|argument| argument.replace(NAMESPACE, &cluster.namespace))
        .collect();
    arguments.extend(cluster.kubectl_flags());
    tell(&format!("$ {program} {}", shell(&arguments)));
    let output = tokio::process::Command::new(program)
        .args(&arguments)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|e| Error::Input(format!("{program}: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::State(format!(
        "{program} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
