//! `kubectl incident cancel`.

use firewatch_core::api::Phase;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{confirmed, interactive};
use crate::cli::CancelArgs;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::exit;

/// Cancels an incident.
pub async fn run(cluster: &Cluster, args: &CancelArgs) -> Result<u8> {
    let incident = cluster.incident(&args.name).await?;
    let phase = incident.status.as_ref().map(|status| status.phase).unwrap_or_default();
    if phase == Phase::Completed {
        return Err(Error::State(format!(
            "incident {} is over already; there is nothing to cancel",
            args.name
        )));
    }
    if incident.spec.cancelled {
        eprintln!("incident {} was cancelled before", args.name);
        return Ok(exit::OK);
    }
    if matches!(phase, Phase::Executing | Phase::RollingBack) {
        eprintln!(
            "The plan is being carried out. Cancelling stops before the next action; what was done is not taken back."
        );
    }
    if !args.yes
        && !confirmed(
            &format!("Cancel incident {} in {}?", args.name, cluster.namespace),
            interactive(),
        )
        .await?
    {
        eprintln!("Left as it is.");
        return Ok(exit::OK);
    }
    cluster
        .incidents()
        .patch(
            &args.name,
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"cancelled": true}})),
        )
        .await
        .map_err(|error| Error::from_kube(format!("cancel incident {}", args.name), &error))?;
    eprintln!("incident {} cancelled", args.name);
    Ok(exit::OK)
}
