//! What a confined command can and cannot do, tried by perl as an ordinary process of this host. Each refusal is tried unconfined as
//! well, so that it is shown to come from the confinement and not from the host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use sandbox_runner::command::{Limits, Ran, run_through};

const RUNNER: &str = env!("CARGO_BIN_EXE_sandbox-runner");
const EACCES: &str = "13";
const EPERM: &str = "1";

/// Prints `ok`, or the error's number.
fn probe(mut command: Command) -> String {
    let output: Output = command.output().expect("the probe starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !text.is_empty(),
        "the probe said nothing: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn free(script: &str) -> String {
    let mut command = Command::new("/usr/bin/perl");
    command.args(["-e", script]).env_clear();
    probe(command)
}

fn confined(lane: &str, own: &Path, api_port: u16, script: &str) -> String {
    let mut command = Command::new(RUNNER);
    command
        .args(["exec-confined", lane, "/usr/bin/perl", "-e", script])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TMPDIR", own)
        .env("KUBERNETES_SERVICE_PORT", api_port.to_string());
    probe(command)
}

/// Refused in this lane, and possible without the confinement.
fn refused(lane: &str, own: &Path, script: &str, errno: &str) {
    assert_eq!(free(script), "ok", "the host itself refuses: {script}");
    assert_eq!(confined(lane, own, 443, script), errno, "{lane}: {script}");
}

fn write_to(path: &Path) -> String {
    format!("print open(my $f, '>', '{}') ? 'ok' : $!+0", path.display())
}

fn read_from(path: &str) -> String {
    format!("print open(my $f, '<', {path}) ? 'ok' : $!+0")
}

fn socket(domain: &str, kind: &str) -> String {
    format!("use Socket; print socket(my $s, {domain}, {kind}, 0) ? 'ok' : $!+0")
}

fn connect(port: u16) -> String {
    format!(
        "use Socket; socket(my $s, PF_INET, SOCK_STREAM, 0) or die $!; \
         print connect($s, sockaddr_in({port}, INADDR_LOOPBACK)) ? 'ok' : $!+0"
    )
}

#[test]
fn a_command_writes_into_its_own_folder_only() {
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for lane in ["observe", "analyze"] {
        assert_eq!(confined(lane, own.path(), 443, &write_to(&own.path().join("x"))), "ok");
        refused(lane, own.path(), &write_to(&other.path().join("x")), EACCES);
        refused(
            lane,
            own.path(),
            &write_to(&std::env::temp_dir().join(format!("firewatch-{}", std::process::id()))),
            EACCES,
        );
    }
    let _ = std::fs::remove_file(std::env::temp_dir().join(format!("firewatch-{}", std::process::id())));
}

#[test]
fn a_command_reads_neither_the_request_nor_proc_nor_the_root() {
    let (own, request) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(request.path().join("request.json"), "nonce").unwrap();
    let file = format!("'{}'", request.path().join("request.json").display());
    for lane in ["observe", "analyze"] {
        refused(lane, own.path(), &read_from(&file), EACCES);
        refused(lane, own.path(), &read_from("'/proc/self/status'"), EACCES);
        refused(lane, own.path(), "print opendir(my $d, '/') ? 'ok' : $!+0", EACCES);
    }
}

/// In a pod the runner is process 1 and its standard output is the pod's log.
#[test]
fn a_command_cannot_write_a_line_of_the_runner() {
    let own = tempfile::tempdir().unwrap();
    // The parent of the probe is this test: it holds a file open that is no pipe, as a kubelet's log may be.
    let script = "my $p = '/proc/' . getppid() . '/fd/1'; print open(my $f, '>>', $p) ? 'ok' : $!+0";
    for lane in ["observe", "analyze"] {
        refused(lane, own.path(), script, EACCES);
    }
}

#[test]
fn analyze_has_no_network_of_any_kind() {
    let own = tempfile::tempdir().unwrap();
    for (domain, kind) in [
        ("PF_INET", "SOCK_STREAM"),
        ("PF_INET", "SOCK_DGRAM"),
        ("PF_INET6", "SOCK_STREAM"),
        ("PF_UNIX", "SOCK_STREAM"),
    ] {
        refused("analyze", own.path(), &socket(domain, kind), EPERM);
    }
}

#[test]
fn observe_reaches_the_port_of_the_api_server_and_no_other() {
    let own = tempfile::tempdir().unwrap();
    let (api, other) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let (api_port, other_port) = (api.local_addr().unwrap().port(), other.local_addr().unwrap().port());
    assert_eq!(confined("observe", own.path(), api_port, &connect(api_port)), "ok");
    assert_eq!(free(&connect(other_port)), "ok");
    assert_eq!(confined("observe", own.path(), api_port, &connect(other_port)), EACCES);
    refused("observe", own.path(), &socket("PF_INET", "SOCK_DGRAM"), EPERM);
    refused("observe", own.path(), &socket("PF_UNIX", "SOCK_STREAM"), EPERM);
}

/// Outside of pods nothing else refuses these: it is our filter that does.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_filter_refuses_to_trace_and_to_start_sessions() {
    let own = tempfile::tempdir().unwrap();
    let call = |number: u32| {
        format!(
            "my $p = fork; if (!$p) {{ exit(syscall({number}, 0, 0, 0, 0) < 0 ? $!+0 : 0) }} waitpid $p, 0; print $? ? $? >> 8 : 'ok'"
        )
    };
    // ptrace(PTRACE_TRACEME), setsid.
    for number in [101, 112] {
        refused("analyze", own.path(), &call(number), EPERM);
    }
}

#[test]
fn an_unknown_program_and_a_refusing_kernel_are_told_apart() {
    let own = tempfile::tempdir().unwrap();
    let status = Command::new(RUNNER)
        .args(["exec-confined", "analyze", "/usr/bin/firewatch-has-no-such-program"])
        .env("TMPDIR", own.path())
        .output()
        .unwrap()
        .status;
    assert_eq!(status.code(), Some(127));
}

fn run(own: &Path, argv: &[&str], timeout: Duration, bytes: usize) -> Ran {
    let argv: Vec<String> = argv.iter().map(|a| (*a).to_owned()).collect();
    run_through(Path::new(RUNNER), "analyze", &argv, own, &[], Limits { timeout, bytes }).unwrap()
}

#[test]
fn a_command_that_does_not_end_is_ended_with_what_it_started() {
    let own = tempfile::tempdir().unwrap();
    let pid_file = own.path().join("pid");
    let script = format!(
        "my $p = fork; if (!$p) {{ open(my $f, '>', '{}'); print $f $$; close $f; sleep 600 }} print 'started'; $| = 1; sleep 600",
        pid_file.display()
    );
    let started = Instant::now();
    let ran = run(
        own.path(),
        &["/usr/bin/perl", "-e", &script],
        Duration::from_secs(3),
        1024,
    );
    assert!(ran.timed_out);
    assert_eq!(ran.exit_code, None);
    assert!(started.elapsed() < Duration::from_secs(30));
    let grandchild: i32 = std::fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    // On a busy machine a process outlives the signal that kills it by a moment; killed and not yet reaped it is a zombie.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let state = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z") {
            break;
        }
        assert!(Instant::now() < deadline, "the grandchild lives: {state}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn output_beyond_the_cap_is_counted_and_not_kept() {
    let own = tempfile::tempdir().unwrap();
    let ran = run(
        own.path(),
        &["/usr/bin/perl", "-e", "print 'x' x 20000000"],
        Duration::from_mins(1),
        4096,
    );
    assert_eq!(
        (ran.stdout.len(), ran.stdout_total, ran.exit_code),
        (4096, 20_000_000, Some(0))
    );
}

#[test]
fn a_command_gets_an_environment_of_three_variables() {
    let own = tempfile::tempdir().unwrap();
    let ran = run(
        own.path(),
        &["/usr/bin/perl", "-e", "print join ' ', sort keys %ENV"],
        Duration::from_mins(1),
        4096,
    );
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), "HOME PATH TMPDIR");
}

#[test]
fn stack_traces_are_found_with_the_applications_own_frame() {
    let own = tempfile::tempdir().unwrap();
    let log = own.path().join("log");
    let text = concat!(
        "2026-11-24T11:00:00.123456789Z Traceback (most recent call last):\n",
        "2026-11-24T11:00:00.123456789Z   File \"/app/main.py\", line 10, in run\n",
        "2026-11-24T11:00:00.123456789Z     url = os.environ[\"GATEWAY_URL\"]\n",
        "2026-11-24T11:00:00.123456789Z   File \"/usr/lib/python3.11/os.py\", line 679, in __getitem__\n",
        "2026-11-24T11:00:00.123456789Z KeyError: 'GATEWAY_URL'\n",
        "Exception in thread \"main\" java.lang.IllegalStateException: no start\n",
        "\tat com.shop.App.main(App.java:10)\n",
        "Caused by: java.sql.SQLException: refused\n",
        "\tat org.apache.pool.Pool.get(Pool.java:3)\n",
        "\tat com.shop.Db.open(Db.java:5)\n",
        "panic: nil map\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:7 +0x1d\n",
        "TypeError: x is not a function\n    at Object.<anonymous> (/app/index.js:3:5)\n",
    );
    std::fs::write(&log, text).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/stack-traces.py");
    let output = Command::new("/usr/bin/python3")
        .args(["-I", "-S", script])
        .arg(&log)
        .output()
        .unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let traces: Vec<(String, String)> = found
        .get("traces")
        .and_then(serde_json::Value::as_array)
        .unwrap()
        .iter()
        .map(|t| {
            (
                t.get("error").unwrap().as_str().unwrap().to_owned(),
                t.get("frame").unwrap().as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let expected = [
        ("KeyError: 'GATEWAY_URL'", "/app/main.py:10 in run"),
        ("java.sql.SQLException: refused", "com.shop.Db.open(Db.java:5)"),
        ("panic: nil map", "/app/main.go:7"),
        (
            "TypeError: x is not a function",
            "/app/index.js:3 in Object.<anonymous>",
        ),
    ];
    assert_eq!(traces, expected.map(|(e, f)| (e.to_owned(), f.to_owned())));
}
