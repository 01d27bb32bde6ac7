//! A kernel that lacks a layer of the confinement: the command is not run, whatever the lane. Such a kernel is made by a seccomp filter
//! that answers as it would; a filter on a thread holds for what the thread starts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::process::{Command, Output};

use sandbox_runner::confine::DEGRADED;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

const RUNNER: &str = env!("CARGO_BIN_EXE_sandbox-runner");

/// A harmless command in this lane, on a kernel without these calls.
fn ran_without(calls: &[i64], lane: &str) -> Output {
    let rules: BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let own = tempfile::tempdir().unwrap();
    let mut command = Command::new(RUNNER);
    command
        .args(["exec-confined", lane, "/bin/echo", "ran"])
        .env_clear()
        .env("TMPDIR", own.path());
    let kernel = std::thread::spawn(move || {
        if !rules.is_empty() {
            let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
            let arch = std::env::consts::ARCH.try_into().unwrap();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, absent, arch).unwrap();
            apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
        }
        command.output().unwrap()
    });
    kernel.join().unwrap()
}

#[test]
fn without_one_layer_of_the_confinement_nothing_is_run() {
    let layers: [(&str, &[i64]); 2] = [
        ("Landlock", &[libc::SYS_landlock_create_ruleset]),
        ("seccomp", &[libc::SYS_seccomp]),
    ];
    for lane in ["observe", "analyze", "remediate"] {
        let whole = ran_without(&[], lane);
        assert_eq!(String::from_utf8_lossy(&whole.stdout), "ran\n", "{lane}: {whole:?}");
        for (layer, calls) in layers {
            let lacking = ran_without(calls, lane);
            assert_eq!(
                lacking.status.code(),
                Some(i32::from(DEGRADED)),
                "{lane} without {layer}: {lacking:?}"
            );
            assert!(lacking.stdout.is_empty(), "{lane} without {layer}: it ran");
            let said = String::from_utf8_lossy(&lacking.stderr);
            assert!(said.starts_with("SandboxDegraded: "), "{lane} without {layer}: {said}");
        }
    }
}
