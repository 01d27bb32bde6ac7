//! The sandbox runner: the only program of a sandbox pod. It runs one request (`observe`, `analyze`), or carries out one approval
//! (`remediate`, `rollback`), prints one line for each command, and leaves count and digest of its lines in the termination message.
//!
//! It must never run anything that the shared policy did not check, and never without its confinement. Kubernetes starts it.

use std::process::ExitCode;

use firewatch_core::approval::verify::Purpose;
use sandbox_runner::{confine, remediate, request_lane};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["observe" | "analyze"] => request_lane::main(words.first().copied().unwrap_or_default()),
        ["remediate", namespace, name, uid] => remediate::main(Purpose::Remediate, namespace, name, uid),
        ["rollback", namespace, name, uid] => remediate::main(Purpose::Rollback, namespace, name, uid),
        // What a command is started through: this very program, which locks itself in and becomes the command.
        [confine::SUBCOMMAND, lane, command @ ..] => confine::main(lane, command),
        _ => {
            eprintln!("usage: sandbox-runner observe | analyze | (remediate | rollback) NAMESPACE NAME UID");
            ExitCode::from(64)
        }
    }
}
