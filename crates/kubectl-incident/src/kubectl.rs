//! The user's own kubectl as a child process: bounded in time and bytes, and what it printed as evidence, redacted before it is kept.
//!
//! It runs what the shared policy rendered and nothing else, which only reads. Called by `investigate`.

use std::process::Stdio;
use std::time::Duration;

use firewatch_core::agents::Question;
use firewatch_core::incident::names::sha256;
use firewatch_core::sandbox::command::{Command, Lane};
use firewatch_core::sandbox::evidence::{Evidence, EvidenceState};
use firewatch_core::sandbox::permissions::Permissions;
use firewatch_core::sandbox::policy::{self, Tenancy};
use firewatch_core::sandbox::prune::prune;
use k8s_openapi::jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

use crate::error::{Error, Result};

/// What one command may print; the rest is not read.
const RAW_BYTES: u64 = 128 * 1024 * 1024;
/// What is kept of a list.
const LIST_BYTES: usize = 64 * 1024 * 1024;
/// What is kept of a log.
const LOG_BYTES: usize = 512 * 1024;

/// kubectl, as the user calls it.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: String,
    flags: Vec<String>,
    request_timeout: Duration,
    deadline: Instant,
}

/// What came of one call.
#[derive(Debug)]
pub struct Ran {
    /// How much of the truth its output is.
    pub state: EvidenceState,
    /// Absent where it was killed.
    pub exit_code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub duration: Duration,
}

impl Kubectl {
    /// `flags` lead to the cluster; everything is over at `deadline`.
    pub fn new(program: &str, flags: Vec<String>, request_timeout: Duration, deadline: Instant) -> Self {
        Self {
            program: program.to_owned(),
            flags,
            request_timeout,
            deadline,
        }
    }

    /// Answers one question. What cannot be read is evidence too, and says why.
    pub async fn ask(&self, question: Question, tenancy: &Tenancy) -> Result<Evidence> {
        let permissions = Permissions::of(question.role);
        let (argv, ran) = match policy::check(&permissions, Lane::Observe, tenancy, &question.command) {
            Ok(argv) => {
                let ran = self.run(argv.get(1..).unwrap_or_default()).await?;
                (argv, ran)
            }
            Err(refusal) => (
                Vec::new(),
                Ran::nothing(EvidenceState::Forbidden, format!("refused by policy: {refusal}")),
            ),
        };
        let tenancy = tenancy.clone();
        // Redaction of a large list takes a while; answers that come meanwhile are read all the same.
        tokio::task::spawn_blocking(move || evidence(question, argv, &ran, &tenancy))
            .await
            .map_err(|_| Error::Interrupted)
    }

    /// Runs kubectl with these arguments.
    pub async fn run(&self, arguments: &[String]) -> Result<Ran> {
        let started = Instant::now();
        let left = self.deadline.saturating_duration_since(started);
        if left.is_zero() {
            return Ok(Ran::nothing(
                EvidenceState::TimedOut,
                "the time for everything was over before this was asked".to_owned(),
            ));
        }
        let mut child = tokio::process::Command::new(&self.program)
            .args(arguments)
            .args(&self.flags)
            .arg(format!("--request-timeout={}s", self.request_timeout.as_secs().max(1)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Error::NoKubectl(format!("{}: {error}", self.program)))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // Several lists are several requests, so the call as a whole may take longer than one.
        let most = (self.request_timeout * 3).min(left);
        let whole = async {
            let (out, err) = tokio::join!(drain(stdout, RAW_BYTES), drain(stderr, 64 * 1024));
            (child.wait().await, out, err)
        };
        let Ok((status, (stdout, cut), (stderr, _))) = tokio::time::timeout(most, whole).await else {
            return Ok(Ran {
                duration: started.elapsed(),
                ..Ran::nothing(
                    EvidenceState::TimedOut,
                    format!("no answer within {} s", most.as_secs()),
                )
            });
        };
        let exit_code = status.ok().and_then(|status| status.code());
        let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
        let state = if cut {
            EvidenceState::Truncated
        } else {
            EvidenceState::of(exit_code, false, &stderr)
        };
        Ok(Ran {
            state,
            exit_code,
            stdout,
            stderr,
            duration: started.elapsed(),
        })
    }
}

impl Ran {
    fn nothing(state: EvidenceState, why: String) -> Self {
        Self {
            state,
            exit_code: None,
            stdout: Vec::new(),
            stderr: why,
            duration: Duration::ZERO,
        }
    }
}

/// Reads to the end or to `most`; whether there was more.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error counts; kubectl's exit code tells the rest.
        let _ = pipe.take(most.saturating_add(1)).read_to_end(&mut kept).await;
    }
    let cut = kept.len() as u64 > most;
    kept.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    (kept, cut)
}

fn evidence(question: Question, argv: Vec<String>, ran: &Ran, tenancy: &Tenancy) -> Evidence {
    let raw = String::from_utf8_lossy(&ran.stdout);
    let is_log = matches!(question.command, Command::Logs { .. });
    let errors = match ran.state {
        EvidenceState::Complete | EvidenceState::Truncated => "",
        _ => ran.stderr.as_str(),
    };
    let pruned = prune(
        &raw,
        errors,
        is_log,
        if is_log { LOG_BYTES } else { LIST_BYTES },
        tenancy,
    );
    Evidence {
        id: question.id,
        agent: question.role,
        command: question.command,
        argv,
        state: match ran.state {
            EvidenceState::Complete if pruned.cut => EvidenceState::Truncated,
            state => state,
        },
        exit_code: ran.exit_code,
        duration_ms: u64::try_from(ran.duration.as_millis()).unwrap_or(u64::MAX),
        collected_at: Timestamp::now(),
        sha256: sha256(pruned.text.as_bytes()),
        output: pruned.text,
    }
}
