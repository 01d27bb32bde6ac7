//! Looks at the targets, rehearses every command by a server-side dry run, and carries them out one by one, each confined like any
//! other command of the sandbox. Stops at the first that does not succeed, and before each one asks whether it still may.
//! Must never be called without a claim, except `prepare`, which only reads. Called by `mod`.

use std::time::Duration;

use firewatch_core::approval::verify::{Purpose, VerifiedPlan};
use firewatch_core::incident::names::sha256;
use firewatch_core::remediation::{Action, Standing, standing};
use firewatch_core::sandbox::evidence::EvidenceState;
use firewatch_core::sandbox::output::OutputLine;
use firewatch_core::sandbox::redact::redact;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use serde_json::Value;

use super::read::{World, unreadable};
use super::{Fault, Order};
use crate::command::{Limits, Ran, run};
use crate::kubeconfig::{self, ApiServer};
use crate::report::Report;

/// The longest that one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(45);
/// The most that is kept of what one prints.
const COMMAND_BYTES: usize = 64 * 1024;

/// One thing to do: an action of the plan, or its inverse.
pub struct Step {
    id: String,
    action: Action,
}

/// What is to be done, in order, after a look at every target. It only reads.
pub async fn prepare(client: &Client, purpose: Purpose, plan: &VerifiedPlan) -> Result<Vec<Step>, Fault> {
    let mut steps = Vec::new();
    for (id, action) in plan.actions() {
        let stands = look(client, id, action).await?;
        let wanted = match purpose {
            Purpose::Remediate => Standing::AtFrom,
            Purpose::Rollback => Standing::AtTo,
        };
        match (purpose, action.inverse()) {
            // What was never reached, or cannot be taken back, is left.
            (Purpose::Rollback, None) => {}
            (Purpose::Rollback, Some(_)) if stands == Standing::AtFrom => {}
            _ if stands != wanted => {
                return Err(Fault::TargetMoved {
                    id: id.clone(),
                    target: name(action),
                    standing: stands.to_string(),
                });
            }
            (Purpose::Remediate, _) => steps.push(Step {
                id: id.clone(),
                action: action.clone(),
            }),
            (Purpose::Rollback, Some(inverse)) => steps.push(Step {
                id: id.clone(),
                action: inverse,
            }),
        }
    }
    if purpose == Purpose::Rollback {
        steps.reverse();
    }
    Ok(steps)
}

fn name(action: &Action) -> String {
    format!("{}/{}", action.target().kind, action.target().name)
}

async fn look(client: &Client, id: &str, action: &Action) -> Result<Standing, Fault> {
    let target = action.target();
    let (group, version) = target.api_version.split_once('/').unwrap_or(("", &target.api_version));
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: target.api_version.clone(),
        kind: target.kind.clone(),
        plural: format!("{}s", target.kind.to_lowercase()),
    };
    let api: Api<DynamicObject> = match &target.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let found = api.get_opt(&target.name).await.map_err(|error| match &error {
        kube::Error::Api(status) if status.is_forbidden() => match &target.namespace {
            Some(namespace) => Fault::NotOptedIn(format!("{} in namespace {namespace}", name(action))),
            None => Fault::NodesOff(name(action)),
        },
        _ => unreadable(name(action))(error),
    })?;
    let Some(found) = found else {
        return Err(Fault::TargetMissing {
            id: id.to_owned(),
            target: name(action),
        });
    };
    let object = serde_json::to_value(&found).unwrap_or_default();
    let revision = match (target.kind.as_str(), &target.namespace) {
        ("StatefulSet" | "DaemonSet", Some(namespace)) => revision(client, namespace, &target.uid).await?,
        _ => None,
    };
    Ok(action.standing(&object, revision))
}

async fn revision(client: &Client, namespace: &str, uid: &str) -> Result<Option<i64>, Fault> {
    let api: Api<ControllerRevision> = Api::namespaced(client.clone(), namespace);
    let all = api
        .list(&ListParams::default())
        .await
        .map_err(unreadable("the ControllerRevisions"))?;
    let all: Vec<Value> = all
        .items
        .iter()
        .filter_map(|one| serde_json::to_value(one).ok())
        .collect();
    Ok(standing::controller_revision(uid, &all))
}

/// Rehearses all, then does all. Whether everything was done.
pub async fn carry_out(
    client: &Client,
    server: &ApiServer,
    order: &Order<'_>,
    world: &World,
    steps: &[Step],
    report: &mut Report,
) -> Result<bool, Fault> {
    for step in steps {
        let id = format!("{}/dry-run", step.id);
        if !command(server, &id, &step.action.dry_run_argv(), report)? {
            end(
                report,
                "DryRunFailed: the API server would refuse this; nothing was changed",
            )?;
            return Ok(false);
        }
    }
    for step in steps {
        // A rollback that was begun is brought to its end: half of one helps nobody.
        let stop = match order.purpose {
            Purpose::Remediate => order
                .stop(client, world)
                .await
                .unwrap_or_else(|error| Some(error.to_string())),
            Purpose::Rollback => None,
        };
        if let Some(why) = stop {
            end(report, &format!("{why}; {} and what follows was not done", step.id))?;
            return Ok(false);
        }
        if !command(server, &step.id, &step.action.argv(), report)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Runs one command and prints its line. Whether it succeeded.
fn command(server: &ApiServer, id: &str, argv: &[String], report: &mut Report) -> Result<bool, Fault> {
    let own = std::env::temp_dir().join("action");
    std::fs::create_dir_all(&own)?;
    let kubeconfig = kubeconfig::write(server, &own)?;
    let environment = [
        ("KUBECONFIG", kubeconfig.display().to_string()),
        ("KUBERNETES_SERVICE_PORT", server.port.to_string()),
    ];
    let limits = Limits {
        timeout: COMMAND_TIMEOUT,
        bytes: COMMAND_BYTES,
    };
    let ran = run("remediate", argv, &own, &environment, limits);
    // Only scratch: kubectl's cache of what the API server serves.
    let _ = std::fs::remove_dir_all(&own);
    let ran = ran?;
    let done = ran.exit_code == Some(0);
    report.print(told(id, argv, &ran, done))?;
    Ok(done)
}

fn told(id: &str, argv: &[String], ran: &Ran, done: bool) -> OutputLine {
    let out = String::from_utf8_lossy(&ran.stdout);
    let err = String::from_utf8_lossy(&ran.stderr);
    let text = [out.trim(), err.trim()]
        .iter()
        .filter(|part| !part.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join("\n");
    let state = match (done, ran.timed_out) {
        (true, _) => EvidenceState::Complete,
        (_, true) => EvidenceState::TimedOut,
        _ if err.contains("(Forbidden)") => EvidenceState::Forbidden,
        _ if err.contains("(NotFound)") => EvidenceState::NotFound,
        _ => EvidenceState::Failed,
    };
    let millis = u64::try_from(ran.duration.as_millis()).unwrap_or(u64::MAX);
    line(id, argv, state, ran.exit_code, millis, &text)
}

/// The runner's own last word, where it stopped.
fn end(report: &mut Report, why: &str) -> Result<(), Fault> {
    Ok(report.print(line("end", &[], EvidenceState::Failed, None, 0, why))?)
}

fn line(
    id: &str,
    argv: &[String],
    state: EvidenceState,
    exit_code: Option<i32>,
    duration_ms: u64,
    text: &str,
) -> OutputLine {
    let output = redact(text).text;
    OutputLine {
        nonce: String::new(),
        sequence: 0,
        id: id.to_owned(),
        argv: argv.to_vec(),
        state,
        exit_code,
        duration_ms,
        sha256: sha256(output.as_bytes()),
        total_bytes: output.len() as u64,
        output,
    }
}
