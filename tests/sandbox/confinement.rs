//! What a command of the analyze lane can reach in a real pod: a probe runs in place of one of the image's scripts.

use firewatch_core::api::Role;
use firewatch_core::sandbox::command::{Command, Script};
use firewatch_core::sandbox::evidence::EvidenceState;
use firewatch_core::sandbox::job::RequestLane;
use serde_json::Value;

use super::arena::{Asked, Ended, with_arena, with_script};

/// Each entry is `ok` or the error's name.
const PROBE: &str = r#"
import errno, json, os, socket

def tried(action):
    try:
        action()
        return "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))

def wrote(path):
    return tried(lambda: open(path, "w").write('{"nonce":"forged"}\n'))

forged = '{"nonce":"00000000000000000000000000000000","sequence":1,"id":"c1","argv":[],"state":"Complete"}\n'
print(json.dumps({
    "own folder": wrote(os.environ["TMPDIR"] + "/x"),
    "tmp": wrote("/tmp/x"),
    "root": wrote("/x"),
    "etc": wrote("/etc/x"),
    "shm": wrote("/dev/shm/x"),
    "termination log": wrote("/dev/termination-log"),
    "log": tried(lambda: open("/proc/1/fd/1", "w").write(forged)),
    "proc": tried(lambda: open("/proc/self/status").read()),
    "request": tried(lambda: open("/request/request.json").read()),
    "account": tried(lambda: open("/var/run/secrets/kubernetes.io/serviceaccount/token").read()),
    "evidence": tried(lambda: open("/evidence/e1/output").read()),
    "tcp": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)),
    "udp": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
    "unix": tried(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)),
    "netlink": tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    "kill": tried(lambda: os.kill(1, 9)),
    "environment": sorted(os.environ),
    "uid": os.getuid(),
}))
"#;

/// Its grandchild leaves the process group, so that only the end of everything in the pod reaches it.
const ENDLESS: &str = r#"
import os, time
if os.fork() == 0:
    os.setpgid(0, 0)
    time.sleep(600)
print("started", flush=True)
time.sleep(600)
"#;

fn script() -> Command {
    Command::Script {
        script: Script::StackTraces,
        evidence: vec!["E1".into()],
    }
}

async fn run(arena: &super::arena::Arena, probe: &str, commands: &[Command]) -> Ended {
    let change = with_script(arena, probe).await;
    let evidence = [("E1", "some text\n")];
    let asked = Asked {
        role: Role::CodeAnalyst,
        lane: RequestLane::Analyze,
        commands,
        evidence: &evidence,
    };
    arena.run(asked, change).await
}

#[tokio::test]
async fn analyze_reaches_nothing_but_its_evidence_and_its_own_folder() {
    with_arena(false, async |arena| {
        let lines = run(arena, PROBE, &[script()])
            .await
            .lines()
            .expect("the probe did not disturb the log");
        let probed: Value =
            serde_json::from_str(&lines[0].output).unwrap_or_else(|e| panic!("{e}: {}", lines[0].output));
        let expected = [
            ("own folder", "ok"),
            ("evidence", "ok"),
            ("tmp", "EACCES"),
            ("root", "EROFS"),
            ("etc", "EROFS"),
            ("shm", "EACCES"),
            ("termination log", "EACCES"),
            ("log", "EACCES"),
            ("proc", "EACCES"),
            ("request", "EACCES"),
            ("account", "EACCES"),
            ("tcp", "EPERM"),
            ("udp", "EPERM"),
            ("unix", "EPERM"),
            ("netlink", "EPERM"),
            ("kill", "EPERM"),
        ];
        let found: Vec<(&str, &str)> = expected
            .iter()
            .map(|(what, _)| (*what, probed[*what].as_str().unwrap()))
            .collect();
        // A path that is not there at all says so where nothing hides it.
        let found: Vec<(&str, &str)> = found
            .into_iter()
            .map(|(w, e)| {
                if (w, e) == ("account", "ENOENT") {
                    (w, "EACCES")
                } else {
                    (w, e)
                }
            })
            .collect();
        assert_eq!(found, expected);
        assert_eq!(probed["uid"], 1000);
        let environment: Vec<&str> = probed["environment"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_str().unwrap())
            .collect();
        assert!(
            environment
                .iter()
                .all(|name| ["HOME", "LC_CTYPE", "PATH", "TMPDIR"].contains(name)),
            "{environment:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_command_that_does_not_end_is_ended_and_the_next_one_runs() {
    with_arena(false, async |arena| {
        let next = Command::Grep {
            pattern: "text".into(),
            evidence: "E1".into(),
        };
        let lines = run(arena, ENDLESS, &[script(), next]).await.lines().unwrap();
        assert_eq!((lines[0].state, lines[0].exit_code), (EvidenceState::TimedOut, None));
        assert_eq!(lines[0].output.trim(), "started");
        assert_eq!(
            (lines[1].state, lines[1].output.as_str()),
            (EvidenceState::Complete, "1:some text\n")
        );
    })
    .await;
}
