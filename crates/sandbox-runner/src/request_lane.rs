//! The lanes that take a request: `observe` and `analyze`. Every command is checked by the shared policy once more, run confined,
//! pruned, redacted, and printed as one line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use firewatch_core::incident::names::sha256;
use firewatch_core::sandbox::command::Lane;
use firewatch_core::sandbox::evidence::EvidenceState;
use firewatch_core::sandbox::output::OutputLine;
use firewatch_core::sandbox::permissions::Permissions;
use firewatch_core::sandbox::policy;
use firewatch_core::sandbox::prune::{Pruned, prune};
use firewatch_core::sandbox::request::{
    COMMAND_BYTES_MAX, COMMAND_TIMEOUT_MS, KEY, POD_BYTES_MAX, REQUEST_TIMEOUT_MS, RequestedCommand, SandboxRequest,
    VERSION,
};

use crate::command::{Limits, Ran, run};
use crate::confine;
use crate::kubeconfig::{self, ApiServer};
use crate::report::{Report, fault};

/// What kubectl prints before it is pruned; the rest is not read.
const RAW_BYTES_MAX: usize = 48 * 1024 * 1024;
/// What a line without output takes, generously.
const LINE_BYTES_MIN: usize = 4 * 1024;

/// Why a request was not run. Closed.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the request cannot be read: {0}")]
    RequestUnreadable(String),
    #[error("the request is of version {0}; this runner knows {VERSION}")]
    VersionUnknown(u32),
    #[error("the request is for another lane")]
    WrongLane,
    #[error("the API server's address is not in the environment")]
    NoApiServer,
    #[error("{0}")]
    SandboxDegraded(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Fault {
    fn reason(&self) -> &'static str {
        match self {
            Self::RequestUnreadable(_) => "RequestUnreadable",
            Self::VersionUnknown(_) => "VersionUnknown",
            Self::WrongLane => "WrongLane",
            Self::NoApiServer => "NoApiServer",
            Self::SandboxDegraded(_) => "SandboxDegraded",
            Self::Io(_) => "Io",
        }
    }
}

/// Runs the mounted request.
pub fn main(lane: &str) -> ExitCode {
    // A command under the same uid must not look into this process, where the nonce is.
    let closed = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let result = match closed {
        Ok(()) => work(lane, Path::new("/request")),
        Err(error) => Err(Fault::SandboxDegraded(format!(
            "the runner could not make itself undumpable: {error}"
        ))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if fault(error.reason(), &error.to_string()).is_err() {
                eprintln!("the termination message could not be written");
            }
            ExitCode::FAILURE
        }
    }
}

fn work(lane: &str, request: &Path) -> Result<(), Fault> {
    let started = Instant::now();
    let text = std::fs::read_to_string(request.join(KEY)).map_err(|e| Fault::RequestUnreadable(e.to_string()))?;
    let request: SandboxRequest = serde_json::from_str(&text).map_err(|e| Fault::RequestUnreadable(e.to_string()))?;
    if request.version != VERSION {
        return Err(Fault::VersionUnknown(request.version));
    }
    if request.lane.to_string() != lane {
        return Err(Fault::WrongLane);
    }
    let server = ApiServer::from_environment();
    if request.lane == Lane::Observe && server.is_none() {
        return Err(Fault::NoApiServer);
    }
    let permissions = Permissions::of(request.role);
    let mut report = Report::new(request.nonce.clone(), POD_BYTES_MAX);
    for (index, asked) in request.commands.iter().enumerate() {
        let argv = match policy::check(&permissions, request.lane, &request.tenancy, &asked.command) {
            Ok(argv) => argv,
            Err(refusal) => {
                report.print(line(
                    asked,
                    Vec::new(),
                    EvidenceState::Forbidden,
                    None,
                    0,
                    format!("refused by policy: {refusal}"),
                    0,
                ))?;
                continue;
            }
        };
        let left = Duration::from_millis(REQUEST_TIMEOUT_MS).saturating_sub(started.elapsed());
        if left.is_zero() {
            report.print(line(
                asked,
                argv,
                EvidenceState::TimedOut,
                None,
                0,
                "the request's time was over before this command".to_owned(),
                0,
            ))?;
            continue;
        }
        let own = own_folder(index)?;
        let mut environment = Vec::new();
        if let (Lane::Observe, Some(server)) = (request.lane, &server) {
            let kubeconfig = kubeconfig::write(server, &own)?;
            environment.push(("KUBECONFIG", kubeconfig.display().to_string()));
            environment.push(("KUBERNETES_SERVICE_PORT", server.port.to_string()));
        }
        let limits = Limits {
            timeout: Duration::from_millis(COMMAND_TIMEOUT_MS).min(left),
            bytes: RAW_BYTES_MAX,
        };
        let ran = run(lane, &argv, &own, &environment, limits)?;
        // The next command starts with an empty folder; what cannot be removed is only scratch.
        let _ = std::fs::remove_dir_all(&own);
        if ran.exit_code == Some(i32::from(confine::DEGRADED)) && ran.stderr.starts_with(b"SandboxDegraded") {
            return Err(Fault::SandboxDegraded(
                String::from_utf8_lossy(&ran.stderr).trim().to_owned(),
            ));
        }
        // What is still to come must have room for its own line.
        let waiting = request.commands.len().saturating_sub(index).saturating_sub(1);
        let most = report.room().saturating_sub(waiting.saturating_mul(LINE_BYTES_MIN));
        let mut cap = COMMAND_BYTES_MAX.min(most);
        let mut told = tell(asked, argv, &ran, cap, &request);
        // Escapes make a line longer than its output.
        while report.size(&told)? > most && cap > 0 {
            cap /= 2;
            told = tell(asked, told.argv, &ran, cap, &request);
        }
        report.print(told)?;
    }
    report.finish()?;
    Ok(())
}

/// A folder of the command's own, under the memory-backed /tmp.
fn own_folder(index: usize) -> std::io::Result<PathBuf> {
    let own = std::env::temp_dir().join(format!("c{index}"));
    std::fs::create_dir_all(&own)?;
    Ok(own)
}

fn tell(asked: &RequestedCommand, argv: Vec<String>, ran: &Ran, cap: usize, request: &SandboxRequest) -> OutputLine {
    let duration = u64::try_from(ran.duration.as_millis()).unwrap_or(u64::MAX);
    let stderr = String::from_utf8_lossy(&ran.stderr);
    let state = EvidenceState::of(ran.exit_code, ran.timed_out, &stderr);
    let raw = String::from_utf8_lossy(&ran.stdout);
    let is_log = argv.get(1).is_some_and(|verb| verb == "logs");
    // A list of several kinds of which one is refused still tells the others.
    let errors = if state == EvidenceState::Complete {
        ""
    } else {
        stderr.trim()
    };
    let Pruned { text, cut } = prune(&raw, errors, is_log, cap, &request.tenancy);
    // Who reads the sandbox's own namespace reads requests, this one too.
    let text = text.replace(&request.nonce, "[redacted:nonce]");
    let state = match state {
        EvidenceState::Complete if cut || ran.stdout_total > ran.stdout.len() as u64 => EvidenceState::Truncated,
        other => other,
    };
    line(asked, argv, state, ran.exit_code, duration, text, ran.stdout_total)
}

/// `output` is redacted already.
fn line(
    asked: &RequestedCommand,
    argv: Vec<String>,
    state: EvidenceState,
    exit_code: Option<i32>,
    duration_ms: u64,
    output: String,
    total: u64,
) -> OutputLine {
    OutputLine {
        nonce: String::new(),
        sequence: 0,
        id: asked.id.clone(),
        argv,
        state,
        exit_code,
        duration_ms,
        sha256: sha256(output.as_bytes()),
        output,
        total_bytes: total,
    }
}
