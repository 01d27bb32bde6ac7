//! `kubectl incident watch`: follows one incident to its end. A dropped watch is taken up again; nothing is missed, because every
//! line comes from the present status. Also the following half of `run`.

use std::pin::pin;
use std::time::Duration;

use firewatch_core::api::{Incident, Outcome, Phase};
use futures::StreamExt;
use kube::ResourceExt;
use kube::runtime::{WatchStreamExt, watcher};

use super::{columns, print, watch_many};
use crate::cli::WatchArgs;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::exit;
use crate::render::style::Palette;
use crate::render::watch::news;

/// Follows an incident until it is over.
pub async fn run(cluster: &Cluster, args: &WatchArgs) -> Result<u8> {
    let Some(name) = &args.name else {
        return watch_many::run(cluster, args).await;
    };
    // A wrong name is an answer now, not a silence.
    let first = cluster.incident(name).await?;
    let json = args.output.is_some();
    let palette = Palette::for_stdout();
    let mut told: Option<Incident> = None;
    let hint = |incident: &Incident| {
        let waits = incident
            .status
            .as_ref()
            .is_some_and(|status| status.phase == Phase::AwaitingApproval);
        waits.then(|| {
            format!(
                "          kubectl incident approve {} -n {}\n",
                incident.name_any(),
                cluster.namespace
            )
        })
    };
    let mut tell = |incident: &Incident| -> Result<()> {
        let before = told.as_ref().and_then(|seen| seen.status.as_ref());
        let after = incident.status.clone().unwrap_or_default();
        if json {
            let known = before.map_or(-1, |status| status.sequence);
            if told.is_none() || after.sequence != known || before.is_some_and(|status| status.phase != after.phase) {
                let line = serde_json::to_string(incident).map_err(|e| Error::Input(e.to_string()))?;
                print(&format!("{line}\n"))?;
            }
        } else {
            let entered = before.is_none_or(|before| before.phase != after.phase);
            for line in news(before, &after, columns(), palette) {
                print(&format!("{line}\n"))?;
            }
            if entered && let Some(hint) = hint(incident) {
                print(&hint)?;
            }
        }
        told = Some(incident.clone());
        Ok(())
    };
    tell(&first)?;
    let over = match outcome(&first) {
        Some(outcome) => outcome,
        None => follow(cluster, name, args.timeout, async |incident| tell(incident)).await?,
    };
    Ok(exit::for_outcome(over))
}

/// The outcome, once the incident is over.
pub fn outcome(incident: &Incident) -> Option<Outcome> {
    incident
        .status
        .as_ref()
        .filter(|status| status.phase == Phase::Completed)
        .and_then(|status| status.outcome)
}

/// Calls `seen` with each version of the incident until it is over.
pub async fn follow(
    cluster: &Cluster,
    name: &str,
    timeout: Option<Duration>,
    mut seen: impl AsyncFnMut(&Incident) -> Result<()>,
) -> Result<Outcome> {
    let deadline = timeout.map(|timeout| tokio::time::Instant::now() + timeout);
    let mut stream = pin!(watcher::watch_object(cluster.incidents(), name).default_backoff());
    let mut complaints = 0_u32;
    loop {
        let next = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, stream.next()).await.map_err(|_| {
                Error::TimedOut(format!(
                    "incident {name} is not over yet; `kubectl incident show {name} -n {}` tells where it stands",
                    cluster.namespace
                ))
            })?,
            None => stream.next().await,
        };
        match next {
            Some(Ok(Some(incident))) => {
                complaints = 0;
                seen(&incident).await?;
                if let Some(outcome) = outcome(&incident) {
                    return Ok(outcome);
                }
            }
            Some(Ok(None)) | None => {
                return Err(Error::NotFound {
                    what: format!("incident {name} in namespace {}", cluster.namespace),
                    remedy: "It was deleted; its record is in the audit store.".to_owned(),
                });
            }
            Some(Err(error)) => {
                for_good(&error, &format!("incident {name}"))?;
                complaints += 1;
                if complaints == 1 {
                    eprintln!("the watch was interrupted; trying again …");
                }
            }
        }
    }
}

/// Rights do not come back by waiting; connections do.
pub(super) fn for_good(error: &watcher::Error, what: &str) -> Result<()> {
    if let watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error
        && matches!(status.code, 401 | 403)
    {
        return Err(Error::Refused {
            doing: format!("could not watch {what}"),
            message: status.message.clone(),
        });
    }
    Ok(())
}
