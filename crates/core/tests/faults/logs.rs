//! What a log tells: signatures, templates, stack traces, silence; and words that tell of nothing.
use firewatch_core::diagnosis::Verdict;
use serde_json::json;

use crate::space::{self, Space, State, ago, read, served};
use crate::{healthy, repeat, says};

#[test]
fn programs_name_their_own_faults() {
    for (line, category, word) in [
        (
            "ERROR could not resize shared memory segment \"/PostgreSQL.1\" to 8388608 bytes: No space left on device",
            "SharedMemoryTooSmall",
            "/dev/shm",
        ),
        (
            "java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory or process/resource limits reached",
            "ProcessLimitReached",
            "thread",
        ),
        ("ERROR accept4: too many open files", "TooManyOpenFiles", "descriptor"),
        ("ERROR write /data/seg-1: no space left on device", "DiskFull", "space"),
        (
            "ERROR relation \"invoices\" does not exist",
            "SchemaMissing",
            "invoices",
        ),
        (
            "ERROR: (1146, \"Table 'shop.invoices' doesn't exist\")",
            "SchemaMissing",
            "migration",
        ),
        ("ERROR jwt expired", "TokenExpired", "expired"),
        (
            "ERROR botocore: An error occurred (ExpiredToken) when calling the PutObject operation: The provided token has expired.",
            "TokenExpired",
            "expired",
        ),
        (
            "ERROR An error occurred (RequestTimeTooSkewed) when calling the PutObject operation",
            "ClockSkew",
            "clock",
        ),
        (
            "ERROR Deadlock found when trying to get lock; try restarting transaction",
            "Deadlock",
            "deadlock",
        ),
        (
            "ERROR Lock wait timeout exceeded; try restarting transaction",
            "LockContention",
            "lock",
        ),
        (
            "ERROR -OOM command not allowed when used memory > 'maxmemory'.",
            "StoreFull",
            "memory",
        ),
        (
            "[2026-05-04 09:29:59 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:31)",
            "Stalled",
            "still",
        ),
        (
            "ERROR failed to process message offset=4711 partition=3: json: cannot unmarshal string into Go struct field",
            "PoisonMessage",
            "message",
        ),
        (
            "ERROR x509: certificate has expired or is not yet valid: current time 2026-05-04T09:29:00Z is after 2026-05-01T00:00:00Z",
            "CertificateExpired",
            "expired",
        ),
        (
            "ERROR open /uploads/tmp-1: read-only file system",
            "ReadOnlyFileSystem",
            "read-only",
        ),
        (
            "ERROR open /uploads/tmp-1: permission denied",
            "PermissionDenied",
            "access",
        ),
        (
            "ERROR HikariPool-1 - Connection is not available, request timed out after 30000ms.",
            "ConnectionPoolExhausted",
            "pool",
        ),
    ] {
        let text = format!("{}{}", served(15), repeat(line, 10));
        let space = Space::default()
            .workload("rates", State::Serves(4000))
            .log("rates", &text);
        says(&space.cause("rates"), &[category], "Deployment/rates", &[word]);
        // The same, long ago and never again, is no incident.
        let over = format!("{}{}", repeat(line, 10), served(400));
        healthy(
            &Space::default()
                .workload("rates", State::Serves(4000))
                .log("rates", &over),
            "rates",
        );
    }
}

#[test]
fn words_of_trouble_in_a_log_that_tells_of_none_count_for_nothing() {
    for line in [
        "{\"level\":\"info\",\"msg\":\"stats\",\"errors\":0,\"error_rate\":0,\"timeouts\":0}",
        "level=info msg=\"ErrorHandler registered\" failures=0",
        "metrics: error_rate=0 failed=0 retries=0",
        "0 errors, 0 warnings",
        "{\"level\":30,\"msg\":\"request completed\",\"err\":null,\"url\":\"/errors/500\"}",
        "INFO retry succeeded after connection refused",
        "GET /connection-refused-faq.html 200",
        "{\"severity\":\"INFO\",\"message\":\"deadlock detector started, pool timeout 5s\"}",
        "INFO certificate expires in 60 days",
        "DEBUG circuit breaker for rates is open=false",
        "ready: no errors found in 312 checks",
    ] {
        let text = repeat(&format!("{line}\nINFO GET / 200 3ms"), 30);
        healthy(
            &Space::default()
                .workload("rates", State::Serves(4000))
                .log("rates", &text),
            "rates",
        );
    }
}

#[test]
fn steady_background_errors_of_a_service_that_works_are_no_incident() {
    let text: String = (0..80)
        .map(|n| {
            let noise = if n % 10 == 0 {
                "ERROR bad request from 10.1.2.3: query is not closed\n"
            } else {
                ""
            };
            format!("INFO GET /q/{n} 200\n{noise}")
        })
        .collect();
    healthy(
        &Space::default()
            .workload("rates", State::Serves(4000))
            .log("rates", &text),
        "rates",
    );
    let retries = repeat(
        "ERROR cache:6379 timed out, retrying (attempt 1/3)\nINFO cache answered\nINFO GET / 200",
        40,
    );
    healthy(
        &Space::default()
            .workload("rates", State::Serves(4000))
            .log("rates", &retries),
        "rates",
    );
}

#[test]
fn an_error_that_no_signature_knows_and_that_is_new_is_put_forward_with_its_place() {
    let error = "ERROR tariff table v7 has no row for zone EU-3\nTraceback (most recent call last):\n  File \"/app/tariff.py\", line 88, in price\n    row = table[zone]\n  File \"/usr/lib/python3.12/collections/__init__.py\", line 3, in __missing__\n    raise KeyError(zone)\nKeyError: 'EU-3'\n";
    let space = Space::default()
        .workload("rates", State::Serves(4000))
        .log("rates", &format!("{}{}", served(60), error.repeat(12)));
    let cause = space.cause("rates");
    says(
        &cause,
        &["RepeatedErrors"],
        "Deployment/rates",
        &["zone EU-3", "/app/tariff.py:88"],
    );
    assert!(cause.confidence.as_hundredths() < 80, "{}", cause.confidence);
}

#[test]
fn errors_before_the_last_lines_of_a_long_log_are_asked_for_and_found() {
    use firewatch_core::agents::{AgentRun, AgentStep};
    use firewatch_core::api::{ObjectName, Role};
    use firewatch_core::diagnosis::CaseFile;
    use firewatch_core::sandbox::command::Command;
    let space = Space::default()
        .workload("rates", State::Unready(9000))
        .log("rates", &served(1500));
    let case = CaseFile::from_evidence(
        space::NS,
        Some(ObjectName::namespaced("Deployment", space::NS, "rates")),
        space::now(),
        &space.evidence(),
    );
    let AgentStep::NeedEvidence(asked) = AgentRun::start(Role::CodeAnalyst).next(&case) else {
        panic!("nothing is asked")
    };
    assert!(
        matches!(asked.as_slice(), [Command::Logs { tail_lines, .. }] if *tail_lines > 1500),
        "{asked:?}"
    );
    let mut deep = space.clone();
    let early = format!(
        "{} ERROR could not load model: no space left on device\n{}",
        ago(3600),
        space.logs[0].3
    );
    deep.logs.push(("rates-p".into(), false, 20_000, early));
    says(&deep.cause("rates"), &["DiskFull"], "Deployment/rates", &["no space"]);
    let mut turned = deep.evidence();
    turned.reverse();
    assert_eq!(
        read(&turned, "Deployment", "rates")
            .root_cause
            .unwrap()
            .finding
            .category,
        "DiskFull"
    );
    // A short log has told all that it has.
    let short = Space::default()
        .workload("rates", State::Serves(9000))
        .log("rates", &served(100));
    let case = CaseFile::from_evidence(
        space::NS,
        Some(ObjectName::namespaced("Deployment", space::NS, "rates")),
        space::now(),
        &short.evidence(),
    );
    assert!(matches!(
        AgentRun::start(Role::CodeAnalyst).next(&case),
        AgentStep::Report(_)
    ));
}

#[test]
fn crashes_are_told_with_the_first_cause_and_the_programs_own_line() {
    for (text, words) in [
        (
            "Exception in thread \"main\" org.springframework.beans.factory.BeanCreationException: Error creating bean\n\tat org.springframework.beans.Factory.make(Factory.java:10)\n\tat shop.App.main(App.java:14)\nCaused by: java.lang.IllegalStateException: ledger format 4 is not known\n\tat shop.Ledger.open(Ledger.java:77)\n\t... 12 more",
            ["ledger format 4 is not known", "Ledger.java:77"],
        ),
        (
            "Traceback (most recent call last):\n  File \"/app/a.py\", line 5, in f\n    x()\nValueError: tariff 9 is odd\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"/app/main.py\", line 9, in <module>\n    f()\nRuntimeError: start-up gave up",
            ["tariff 9 is odd", "/app/main.py:9"],
        ),
        (
            "panic: runtime error: index out of range [3] with length 3\n\ngoroutine 1 [running]:\nmain.pick(...)\n\t/src/cmd/pick.go:41 +0x1b\nmain.main()\n\t/src/cmd/main.go:9 +0x1d",
            ["index out of range", "/src/cmd/pick.go:41"],
        ),
        (
            "/app/server.js:12\n    throw new TypeError('x');\n    ^\n\nTypeError: Cannot read properties of undefined (reading 'zone')\n    at price (/app/lib/price.js:31:15)\n    at /app/node_modules/express/lib/router.js:5:5\n    at node:internal/main:1:1",
            ["reading 'zone'", "/app/lib/price.js:31:15"],
        ),
        (
            "Unhandled exception. System.InvalidOperationException: no route\n ---> System.FormatException: zone x is not a number\n   at System.Number.Parse(String s)\n   at Shop.Zones.Read(String s) in /src/Zones.cs:line 19\n   at Shop.Program.Main() in /src/Program.cs:line 5",
            ["zone x is not a number", "/src/Zones.cs:line 19"],
        ),
        (
            "/app/app.rb:17:in `zone': undefined method `id' for nil (NoMethodError)\n\tfrom /app/app.rb:3:in `<main>'",
            ["undefined method", "/app/app.rb:17"],
        ),
        (
            "thread 'main' panicked at src/zones.rs:12:9:\nzone table is empty\nnote: run with `RUST_BACKTRACE=1`",
            ["zone table is empty", "src/zones.rs:12:9"],
        ),
        (
            "{\"level\":\"fatal\",\"msg\":\"boom\",\"stack\":\"RangeError: zone 7 out of range\\n    at pick (/app/z.js:4:2)\\n    at run (/app/node_modules/x.js:1:1)\"}",
            ["zone 7 out of range", "/app/z.js:4:2"],
        ),
    ] {
        let space = Space::default()
            .workload("rates", State::Crashes(1, "Error"))
            .crash_log("rates", text);
        says(&space.cause("rates"), &["UncaughtError"], "Deployment/rates", &words);
    }
}

#[test]
fn a_program_that_found_a_deadlock_and_fell_silent_is_not_called_well() {
    let text = format!(
        "{}Found one Java-level deadlock:\n\"pool-1-thread-2\":\n  waiting to lock monitor 0x1 (object 0x2, a shop.Cart)\n",
        served(30)
    );
    let space = Space::default()
        .workload("cart", State::Serves(9000))
        .log_ending("cart", &text, 900);
    says(&space.cause("cart"), &["Deadlock"], "Deployment/cart", &["deadlock"]);
}

#[test]
fn a_program_that_hangs_is_told_by_its_silence() {
    let hung = Space::default()
        .workload("cart", State::Unready(9000))
        .log_ending("cart", &served(40), 600);
    says(&hung.cause("cart"), &["FellSilent"], "Deployment/cart", &["hangs"]);
    // Silence of a program that is ready is none.
    healthy(
        &Space::default()
            .workload("cart", State::Serves(9000))
            .log_ending("cart", &served(40), 600),
        "cart",
    );
}

#[test]
fn a_program_that_came_through_after_one_failed_start_is_well_and_one_that_fails_again_is_not() {
    let space = |ran: i64, code: i32| {
        let mut space = Space::default()
            .workload("rates", State::Serves(ran))
            .log("rates", "INFO listening on :8080");
        for object in &mut space.objects {
            if object["kind"] == "Pod" {
                let status = &mut object["status"]["containerStatuses"][0];
                status["restartCount"] = json!(1);
                status["lastState"] = json!({"terminated": {"exitCode": code, "reason": "Error", "startedAt": ago(ran + 12), "finishedAt": ago(ran + 2)}});
            }
        }
        space
    };
    healthy(&space(60, 1), "rates");
    assert_ne!(space(5, 1).read("Deployment", "rates").verdict, Verdict::Healthy);
    assert_ne!(space(60, 137).read("Deployment", "rates").verdict, Verdict::Healthy);
}
