//! Reads what sandbox pods left: their end from the pod (the Job's own condition comes seconds later), their lines from the log.
//! Nothing that cannot be shown to be the runner's is believed. Called by `observe` and `perform`.

use firewatch_core::api::Claim;
use firewatch_core::api::status::{ExecutionState, ExecutionStep, JobRef};
use firewatch_core::incident::Reason;
use firewatch_core::incident::observation::JobFacts;
use firewatch_core::sandbox::evidence::{self, Evidence};
use firewatch_core::sandbox::outcome::{self, PodOutcome};
use firewatch_core::sandbox::output::{OutputFault, OutputLine, parse_log};
use firewatch_core::sandbox::request::{KEY, SandboxRequest};
use firewatch_core::text::clip;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt};

use crate::incident::context::Context;
use crate::incident::reconcile::Error;
use crate::telemetry::metrics::JobLabel;

/// How long a Job may be without a pod before its events are asked why.
const POD_WAIT: SignedDuration = SignedDuration::from_secs(3);
/// The most that is read of one log, in bytes.
const LOG_BYTES: i64 = 12 * 1024 * 1024;

/// Counts a Job that ended.
pub fn count(ctx: &Context, lane: &str, result: &str) {
    ctx.metrics
        .jobs
        .get_or_create(&JobLabel {
            lane: lane.to_owned(),
            result: result.to_owned(),
        })
        .inc();
}

async fn pods_of(ctx: &Context, job: &str) -> Result<Vec<Pod>, Error> {
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), &ctx.config.sandbox_namespace);
    let selector = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let mut found = pods.list(&selector).await?.items;
    found.sort_by_key(|p| p.metadata.creation_timestamp.clone().map(|t| t.0));
    Ok(found)
}

/// A Job has one pod; where Kubernetes made two, the first is the one that counts.
async fn pod_of(ctx: &Context, job: &str) -> Result<Option<Pod>, Error> {
    Ok(pods_of(ctx, job).await?.into_iter().next())
}

/// What is seen of a Job.
pub async fn look(ctx: &Context, name: &str) -> Result<JobFacts, Error> {
    if let Some(pod) = pod_of(ctx, name).await? {
        return Ok(match outcome::of(&pod) {
            PodOutcome::Running => JobFacts::Running,
            PodOutcome::Ended { .. } => JobFacts::Ended,
            PodOutcome::Failed { reason, message } => JobFacts::Failed { reason, message },
        });
    }
    let jobs: Api<Job> = Api::namespaced(ctx.client.clone(), &ctx.config.sandbox_namespace);
    let Some(job) = jobs.get_opt(name).await? else {
        return Ok(JobFacts::Missing);
    };
    let failed = job
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten())
        .find(|c| c.type_ == "Failed" && c.status == "True");
    if let Some(condition) = failed {
        let late = condition.reason.as_deref() == Some("DeadlineExceeded");
        return Ok(JobFacts::Failed {
            reason: if late {
                Reason::SandboxTimedOut
            } else {
                Reason::SandboxFailed
            },
            message: condition.message.clone().unwrap_or_default(),
        });
    }
    let age = job
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(SignedDuration::ZERO, |t| Timestamp::now().duration_since(t.0));
    if age < POD_WAIT {
        return Ok(JobFacts::Running);
    }
    Ok(refusal(ctx, &job).await?.unwrap_or(JobFacts::Running))
}

/// Why the Job controller could not make a pod: its events say so.
async fn refusal(ctx: &Context, job: &Job) -> Result<Option<JobFacts>, Error> {
    let events: Api<Event> = Api::namespaced(ctx.client.clone(), &ctx.config.sandbox_namespace);
    let selector = ListParams::default().fields(&format!(
        "involvedObject.uid={},reason=FailedCreate",
        job.uid().unwrap_or_default()
    ));
    let Some(message) = events
        .list(&selector)
        .await?
        .items
        .into_iter()
        .filter_map(|e| e.message)
        .rfind(|message| !will_be_tried_again(message))
    else {
        return Ok(None);
    };
    let reason = if message.contains("exceeded quota") {
        Reason::SandboxQuotaExceeded
    } else {
        Reason::SandboxForbidden
    };
    Ok(Some(JobFacts::Failed { reason, message }))
}

/// Two pods at the same moment count against one ResourceQuota; whoever comes second gets a conflict, and the Job controller tries
/// again. A Job that never gets its pod ends at its own deadline.
fn will_be_tried_again(message: &str) -> bool {
    message.contains("Operation cannot be fulfilled on resourcequotas")
        && message.contains("the object has been modified")
}

async fn log_of(ctx: &Context, pod: &Pod) -> Result<String, Error> {
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), &ctx.config.sandbox_namespace);
    Ok(pods
        .logs(
            &pod.name_any(),
            &LogParams {
                limit_bytes: Some(LOG_BYTES),
                ..LogParams::default()
            },
        )
        .await?)
}

fn fault(fault: &OutputFault) -> (Reason, String) {
    let reason = match fault {
        OutputFault::Runner { fault, .. } if fault == "SandboxDegraded" => Reason::SandboxDegraded,
        OutputFault::Runner { .. } => Reason::SandboxFailed,
        _ => Reason::SandboxOutputInvalid,
    };
    (reason, fault.to_string())
}

/// Reads an evidence Job's lines as evidence. `before`: how many commands the investigation's earlier Jobs were asked for.
pub async fn read_evidence(
    ctx: &Context,
    job: &JobRef,
    before: usize,
) -> Result<Result<Vec<Evidence>, (Reason, String)>, Error> {
    let config_maps: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.config.sandbox_namespace);
    let asked = config_maps
        .get_opt(&job.name)
        .await?
        .and_then(|c| c.data)
        .and_then(|d| d.get(KEY).cloned());
    let (Some(asked), Some(pod)) = (asked, pod_of(ctx, &job.name).await?) else {
        return Ok(Err((
            Reason::SandboxJobLost,
            "the pod or its request is gone".to_owned(),
        )));
    };
    let request: SandboxRequest = serde_json::from_str(&asked)?;
    let PodOutcome::Ended { termination, .. } = outcome::of(&pod) else {
        return Ok(Err((Reason::SandboxFailed, "the pod has not ended".to_owned())));
    };
    let lines = match parse_log(&log_of(ctx, &pod).await?, termination.as_deref(), &request.nonce) {
        Ok(lines) => lines,
        Err(broken) => return Ok(Err(fault(&broken))),
    };
    let collected_at = Timestamp::now();
    let evidence = lines.into_iter().filter_map(|line| {
        let mut asked = request.commands.iter().enumerate();
        let (position, asked) = asked.find(|(_, c)| c.id == line.id)?;
        Some((position, asked.command.clone(), line))
    });
    let evidence: Vec<Evidence> = evidence
        .map(|(position, command, line)| Evidence {
            id: evidence::id(job.purpose, job.round, before, position),
            agent: job.agent,
            command,
            argv: line.argv,
            state: line.state,
            exit_code: line.exit_code,
            duration_ms: line.duration_ms,
            collected_at,
            output: line.output,
            sha256: line.sha256,
        })
        .collect();
    count(ctx, "observe", "succeeded");
    Ok(Ok(evidence))
}

/// What an executor's pod did.
pub struct ExecutionRead {
    /// How it went.
    pub state: ExecutionState,
    /// Why it did not succeed.
    pub message: Option<String>,
    /// One entry for each command.
    pub steps: Vec<ExecutionStep>,
    /// The runner's lines, whole.
    pub lines: Vec<OutputLine>,
}

/// Reads an executor's lines: they carry the nonce of the claim that it made. Without a claim it refused, and says why.
pub async fn read_execution(
    ctx: &Context,
    job: &JobRef,
    claim: Option<&Claim>,
) -> Result<Result<ExecutionRead, (Reason, String)>, Error> {
    let pods = pods_of(ctx, &job.name).await?;
    // Only the pod that claimed can tell what was done; what another says of itself is no result.
    let told_by = match claim {
        Some(claim) => pods
            .into_iter()
            .find(|p| p.uid().as_deref() == Some(claim.pod_uid.as_str())),
        None => pods.into_iter().next(),
    };
    let Some(pod) = told_by else {
        return Ok(Err(match claim {
            Some(claim) => {
                let who = claim.pod_name.clone().unwrap_or_else(|| claim.pod_uid.clone());
                (
                    Reason::ExecutionUnknown,
                    format!("pod {who} took the plan and is gone without a result"),
                )
            }
            None => (Reason::SandboxJobLost, "the executor's pod is gone".to_owned()),
        }));
    };
    let (exit_code, termination) = match outcome::of(&pod) {
        PodOutcome::Ended { exit_code, termination } => (exit_code, termination),
        PodOutcome::Failed { reason, message } => return Ok(Err((reason, message))),
        PodOutcome::Running => {
            return Ok(Err((
                Reason::SandboxTimedOut,
                "the executor's pod did not end in time".to_owned(),
            )));
        }
    };
    let Some(claim) = claim else {
        // This pod took nothing, so it changed nothing; its termination message says why.
        return Ok(match parse_log("", termination.as_deref(), "") {
            Err(OutputFault::Runner { fault, message }) => Ok(ExecutionRead {
                state: ExecutionState::Refused,
                message: Some(format!("{fault}: {message}")),
                steps: Vec::new(),
                lines: Vec::new(),
            }),
            _ => Err((
                Reason::ExecutionRefused,
                format!("the executor ended with code {exit_code} and took no claim"),
            )),
        });
    };
    let lines = match parse_log(&log_of(ctx, &pod).await?, termination.as_deref(), &claim.nonce) {
        Ok(lines) => lines,
        Err(broken) => return Ok(Err(fault(&broken))),
    };
    Ok(Ok(read_steps(lines, exit_code)))
}

/// Lines whose id is an action's are its commands; `A1/dry-run` is a rehearsal and `end` the runner's own conclusion.
fn read_steps(lines: Vec<OutputLine>, exit_code: i32) -> ExecutionRead {
    let failed = lines.iter().find(|l| l.exit_code != Some(0)).map(|l| {
        let code = l.exit_code.map_or_else(|| "no code".to_owned(), |c| c.to_string());
        format!("{} ended with {code}: {}", l.id, clip(l.output.trim(), 600))
    });
    let succeeded = exit_code == 0 && failed.is_none();
    let steps = lines
        .iter()
        .map(|line| ExecutionStep {
            // A rehearsal changes nothing and is not counted as the action.
            action: if line.id.contains('/') {
                String::new()
            } else {
                clip(&line.id, 16)
            },
            command: line.argv.clone(),
            exit_code: line.exit_code,
            duration_ms: i64::try_from(line.duration_ms).unwrap_or(i64::MAX),
            result: Some(clip(line.output.trim(), 2048)),
            evidence: None,
        })
        .collect();
    ExecutionRead {
        state: if succeeded {
            ExecutionState::Succeeded
        } else {
            ExecutionState::Failed
        },
        message: if succeeded {
            None
        } else {
            failed.or_else(|| Some(format!("exit code {exit_code}")))
        },
        steps,
        lines,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_conflict_over_the_quota_is_no_refusal() {
        assert!(will_be_tried_again(
            "Error creating: Operation cannot be fulfilled on resourcequotas \"firewatch-sandbox\": the object has been modified; please apply your changes to the latest version and try again"
        ));
        for refused in [
            "Error creating: pods \"fw-1\" is forbidden: exceeded quota: firewatch-sandbox, requested: pods=1, used: pods=20, limited: pods=20",
            "Error creating: pods \"fw-1\" is forbidden: violates PodSecurity \"restricted:latest\": privileged",
        ] {
            assert!(!will_be_tried_again(refused), "{refused}");
        }
    }

    #[test]
    fn a_runner_that_could_not_confine_itself_is_told_as_that() {
        let left = |fault: &str| format!(r#"{{"lines":0,"sha256":"","fault":"{fault}","message":"no Landlock"}}"#);
        let reason = |termination: &str| fault(&parse_log("", Some(termination), "").unwrap_err()).0;
        assert_eq!(reason(&left("SandboxDegraded")), Reason::SandboxDegraded);
        assert_eq!(reason(&left("RequestUnreadable")), Reason::SandboxFailed);
        assert_eq!(reason("not the runner's"), Reason::SandboxOutputInvalid);
    }
}
