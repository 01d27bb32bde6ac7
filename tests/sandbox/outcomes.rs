//! Ends that are not a result: each is told as what it is, and soon.

use std::time::Duration;

use firewatch_core::api::Role;
use firewatch_core::incident::Reason;
use firewatch_core::sandbox::command::{Command, Script};
use firewatch_core::sandbox::job::RequestLane;
use firewatch_core::sandbox::outcome::PodOutcome;
use firewatch_core::sandbox::output::OutputFault;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PodSpec;

use super::arena::{Arena, Asked, Ended, with_arena, with_script};

fn pod(job: &mut Job) -> &mut PodSpec {
    job.spec.as_mut().unwrap().template.spec.as_mut().unwrap()
}

async fn run(arena: &Arena, change: impl FnOnce(&mut Job)) -> Ended {
    let grep = |pattern: &str| Command::Grep {
        pattern: pattern.into(),
        evidence: "E1".into(),
    };
    let commands = [
        grep("a"),
        grep("b"),
        Command::Script {
            script: Script::StackTraces,
            evidence: vec!["E1".into()],
        },
    ];
    let evidence = [("E1", "a\nb\n")];
    let asked = Asked {
        role: Role::CodeAnalyst,
        lane: RequestLane::Analyze,
        commands: &commands,
        evidence: &evidence,
    };
    arena.run(asked, change).await
}

fn failure(ended: &Ended) -> Reason {
    match &ended.outcome {
        PodOutcome::Failed { reason, .. } => *reason,
        other => panic!("{other:?}; log: {}", ended.log),
    }
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_reported_within_seconds() {
    with_arena(false, async |arena| {
        let missing = format!("localhost/firewatch-has-no-such-image@sha256:{}", "0".repeat(64));
        let ended = run(arena, |job| pod(job).containers[0].image = Some(missing)).await;
        assert_eq!(failure(&ended), Reason::SandboxImagePullFailed);
        assert!(ended.after < Duration::from_secs(20), "{:?}", ended.after);
    })
    .await;
}

#[tokio::test]
async fn a_pod_at_its_memory_limit_is_told_as_that() {
    with_arena(false, async |arena| {
        let hungry = with_script(arena, "kept = []\nwhile True:\n    kept.append(b'x' * 1048576)\n").await;
        let ended = run(arena, |job| {
            hungry(job);
            let limits = pod(job).containers[0]
                .resources
                .as_mut()
                .unwrap()
                .limits
                .as_mut()
                .unwrap();
            limits.get_mut("memory").unwrap().0 = "64Mi".to_owned();
        })
        .await;
        assert_eq!(failure(&ended), Reason::SandboxOutOfMemory);
    })
    .await;
}

#[tokio::test]
async fn a_pod_at_its_deadline_is_told_as_that() {
    with_arena(false, async |arena| {
        let slow = with_script(arena, "import time\ntime.sleep(600)\n").await;
        let ended = run(arena, |job| {
            slow(job);
            pod(job).active_deadline_seconds = Some(5);
        })
        .await;
        assert_eq!(failure(&ended), Reason::SandboxTimedOut);
    })
    .await;
}

/// Runs the runner behind a shell, which can add to the log or take from it.
async fn through(arena: &Arena, shell: &str) -> Result<usize, OutputFault> {
    let shell = shell.to_owned();
    let ended = run(arena, |job| {
        let container = &mut pod(job).containers[0];
        container.command = Some(vec!["/bin/sh".into(), "-c".into(), shell]);
        container.args = None;
    })
    .await;
    ended.lines().map(|lines| lines.len())
}

#[tokio::test]
async fn a_log_that_lost_its_end_or_gained_a_line_is_not_believed() {
    with_arena(false, async |arena| {
        let runner = "/usr/local/bin/sandbox-runner analyze";
        assert_eq!(through(arena, runner).await, Ok(3));
        assert_eq!(
            through(arena, &format!("{runner} | sed -n 1p")).await,
            Err(OutputFault::Cut { found: 1, expected: 3 })
        );
        // The second line once more: its nonce is right, its place is not.
        let twice = format!("{runner} > /tmp/log; head -n 2 /tmp/log; tail -n 2 /tmp/log");
        assert_eq!(through(arena, &twice).await, Err(OutputFault::Forged(3)));
        let added = format!("{runner}; echo all is well");
        assert_eq!(through(arena, &added).await, Err(OutputFault::Forged(4)));
        let changed = format!("{runner} | sed 's/1:a/1:z/'");
        assert_eq!(through(arena, &changed).await, Err(OutputFault::DigestMismatch));
        assert_eq!(through(arena, "true").await, Err(OutputFault::NoTermination));
    })
    .await;
}
