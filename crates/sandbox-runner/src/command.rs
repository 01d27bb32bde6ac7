//! Runs one argv, confined, with a time limit and a cap, and nothing left behind. Called by the lanes.
//!
//! The command gets pipes, never the pod's own log; an environment of three variables; a folder of its own.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::confine;

/// What came of one command.
#[derive(Debug)]
pub struct Ran {
    /// Absent where it was killed.
    pub exit_code: Option<i32>,
    /// Whether it was killed at its time limit.
    pub timed_out: bool,
    /// How long it took.
    pub duration: Duration,
    /// The first bytes of standard output.
    pub stdout: Vec<u8>,
    /// How many bytes there were.
    pub stdout_total: u64,
    /// The first bytes of standard error.
    pub stderr: Vec<u8>,
}

/// Limits of one command.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time.
    pub timeout: Duration,
    /// Bytes kept of standard output.
    pub bytes: usize,
}

/// Runs an argv in a lane. `own` is the folder that it may write to.
pub fn run(
    lane: &str,
    argv: &[String],
    own: &Path,
    environment: &[(&str, String)],
    limits: Limits,
) -> std::io::Result<Ran> {
    run_through(Path::new("/proc/self/exe"), lane, argv, own, environment, limits)
}

/// The same through a named runner; tests are another program.
pub fn run_through(
    runner: &Path,
    lane: &str,
    argv: &[String],
    own: &Path,
    environment: &[(&str, String)],
    limits: Limits,
) -> std::io::Result<Ran> {
    let started = Instant::now();
    let mut child = Command::new(runner)
        .arg(confine::SUBCOMMAND)
        .arg(lane)
        .args(argv)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", own)
        .env(confine::OWN_DIR, own)
        .envs(environment.iter().map(|(k, v)| (*k, v.as_str())))
        .current_dir(own)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let stdout = drain(child.stdout.take(), limits.bytes);
    let stderr = drain(child.stderr.take(), 16 * 1024);
    let mut timed_out = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() >= limits.timeout {
            timed_out = true;
            sweep(group);
            break child.wait()?;
        }
        thread::sleep(Duration::from_millis(2));
    };
    let duration = started.elapsed();
    // Whatever it left running holds the pipes: it ends here.
    sweep(group);
    let (out, total) = stdout.recv_timeout(Duration::from_secs(2)).unwrap_or_default();
    let (err, _) = stderr.recv_timeout(Duration::from_secs(2)).unwrap_or_default();
    Ok(Ran {
        exit_code: if timed_out { None } else { status.code() },
        timed_out,
        duration,
        stdout: out,
        stdout_total: total,
        stderr: err,
    })
}

/// Ends the command's group and, where we are the pod's first process, everything else that it started.
fn sweep(group: Pid) {
    // Nothing left to end is what is wanted.
    let _ = killpg(group, Signal::SIGKILL);
    if std::process::id() == 1 {
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    }
}

/// Reads to the end, keeps at most `cap` bytes and counts all.
fn drain(pipe: Option<impl Read + Send + 'static>, cap: usize) -> mpsc::Receiver<(Vec<u8>, u64)> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut total = 0_u64;
        let mut buffer = vec![0_u8; 64 * 1024];
        if let Some(mut pipe) = pipe {
            while let Ok(n) = pipe.read(&mut buffer) {
                if n == 0 {
                    break;
                }
                total = total.saturating_add(n as u64);
                let room = cap.saturating_sub(kept.len());
                kept.extend(buffer.iter().take(n.min(room)));
            }
        }
        let _ = send.send((kept, total));
    });
    receive
}
