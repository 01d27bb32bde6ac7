//! Whose fault it is: the client that asks too much, the server whose certificate has expired, the Job that did not make the table; and
//! programs that are ready and work no more.
use firewatch_core::diagnosis::{Remedy, Verdict};
use serde_json::{Value, json};

use crate::space::{self, Space, State, ago, served};
use crate::{first_remedy, healthy, repeat, says};

/// A second revision of a Deployment, made so many seconds ago, with these fields of its container.
fn released(space: Space, name: &str, at: i64, container: Value) -> Space {
    let mut main = json!({"name": "main", "image": format!("registry.test/{name}:2")});
    for (key, value) in container.as_object().unwrap() {
        main[key] = value.clone();
    }
    let labels = json!({"app": name});
    let template = json!({"metadata": {"labels": labels}, "spec": {"nodeName": "n1", "containers": [main]}});
    space.with(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": format!("{name}-2"), "namespace": space::NS, "creationTimestamp": ago(at), "annotations": {"deployment.kubernetes.io/revision": "2"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": format!("u-{name}"), "controller": true}]},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}, "status": {"replicas": 1, "readyReplicas": 1}}))
}

#[test]
fn a_release_that_asks_a_limited_service_too_often_goes_back() {
    let refused =
        "ERROR parcel 7: tariffs answered HTTP 429: {\"error\": \"rate limit exceeded\", \"limit\": \"60 per minute\"}";
    let space = || {
        Space::default()
            .workload("quote", State::Serves(90))
            .workload("tariffs", State::Serves(9000))
            .log("quote", &format!("{}{}", served(20), repeat(refused, 24)))
            .log("tariffs", &served(30))
    };
    let cause = released(space(), "quote", 95, json!({})).cause("quote");
    says(
        &cause,
        &["RateLimited"],
        "Deployment/quote",
        &["tariffs", "429", "revision 2"],
    );
    assert!(
        matches!(first_remedy(&cause), Some(Remedy::BadRevision { to_revision: 1, .. })),
        "{:?}",
        cause.remedy
    );
    // A release of yesterday asks no more than it did then.
    let old = released(space(), "quote", 88_000, json!({})).cause("quote");
    says(&old, &["RateLimited"], "Deployment/quote", &["tariffs"]);
    assert!(matches!(old.remedy, Some(Remedy::Manual { .. })), "{:?}", old.remedy);
    // Asked again after a pause, and served.
    healthy(
        &Space::default()
            .workload("quote", State::Serves(90))
            .workload("tariffs", State::Serves(9000))
            .log(
                "quote",
                &format!(
                    "{}{}",
                    repeat(
                        "WARN tariffs answered HTTP 429 Too Many Requests, retrying in 2 s (attempt 1 of 5)",
                        3
                    ),
                    served(40)
                ),
            ),
        "quote",
    );
}

#[test]
fn a_client_whose_retries_overload_a_service_is_the_cause() {
    let line = |client: &str, attempt: usize| {
        json!({"level": "warn", "msg": "overloaded, request refused", "status": 503, "client": client, "attempt": attempt})
            .to_string()
            + "\n"
    };
    let text = |client: fn(usize) -> &'static str, most: usize| -> String {
        (0..60).map(|n| line(client(n), 1 + n % most)).collect()
    };
    let space = |text: &str| {
        let space = Space::default()
            .workload("press", State::Serves(9000))
            .workload("mailer", State::Serves(100))
            .workload("bills", State::Serves(9000))
            .log("press", &format!("{}{text}", served(10)));
        released(space, "mailer", 130, json!({}))
    };
    let cause = space(&text(|_| "mailer/3.1", 12)).cause("press");
    says(
        &cause,
        &["RetryStorm"],
        "Deployment/mailer",
        &["retries", "Deployment/press", "revision 2"],
    );
    assert!(
        matches!(first_remedy(&cause), Some(Remedy::BadRevision { .. })),
        "{:?}",
        cause.remedy
    );
    // Load of many, and load without retries, is no storm.
    for calm in [
        text(|n| if n % 2 == 0 { "mailer/3.1" } else { "bills/1.0" }, 12),
        text(|_| "mailer/3.1", 2),
    ] {
        let diagnosis = space(&calm).read("Deployment", "press");
        assert!(
            diagnosis
                .findings
                .iter()
                .all(|finding| finding.category != "RetryStorm"),
            "{:#?}",
            diagnosis.findings
        );
    }
}

#[test]
fn an_expired_certificate_is_the_fault_of_who_shows_it() {
    let error = "{\"lvl\":\"error\",\"msg\":\"check failed\",\"url\":\"https://vault:8080\",\"error\":\"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1029)\"}";
    let tls = json!({"pod": {"volumes": [{"name": "tls", "secret": {"secretName": "vault-tls"}}]}});
    let space = Space::default()
        .workload("desk", State::Unready(300))
        .workload_of("vault", State::Serves(9000), tls)
        .log("desk", &repeat(error, 6))
        .log("vault", &served(10));
    says(
        &space.cause("desk"),
        &["CertificateExpired"],
        "Deployment/vault",
        &["expired", "Secret vault-tls", "Deployment/desk"],
    );
    // Whose it is, is not told.
    let own = Space::default()
        .workload("desk", State::Unready(300))
        .workload("vault", State::Serves(9000))
        .log("desk", &repeat("ERROR tls: certificate has expired", 6));
    says(
        &own.cause("desk"),
        &["CertificateExpired"],
        "Deployment/desk",
        &["expired"],
    );
}

#[test]
fn a_release_that_calls_a_server_by_a_name_that_its_certificate_lacks_goes_back() {
    let env = |url: &str| json!({"env": [{"name": "LEDGER_URL", "value": url}]});
    let error = "{\"lvl\":\"error\",\"msg\":\"check failed\",\"url\":\"https://ledger-int:8080\",\"error\":\"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate is not valid for 'ledger-int'. (_ssl.c:1029)\"}";
    let space = |url: &str| {
        let space = Space::default()
            .workload_of(
                "books",
                State::Unready(90),
                json!({"container": env("https://ledger:8080")}),
            )
            .workload("ledger", State::Serves(9000))
            .workload("ledger-int", State::Serves(9000))
            .log("books", &repeat(error, 6));
        released(space, "books", 100, env(url)).cause("books")
    };
    let cause = space("https://ledger-int:8080");
    says(
        &cause,
        &["CertificateInvalid"],
        "Deployment/books",
        &["ledger-int", "revision 2"],
    );
    assert!(
        matches!(first_remedy(&cause), Some(Remedy::BadRevision { .. })),
        "{:?}",
        cause.remedy
    );
    // A release that changed another address did not bring it.
    let other = space("https://elsewhere:8080");
    assert!(
        matches!(other.remedy, Some(Remedy::Manual { .. })),
        "{:?}",
        other.remedy
    );
}

#[test]
fn a_migration_that_failed_is_why_the_table_is_missing() {
    let job = |name: &str, kind: &str| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": space::NS, "creationTimestamp": ago(400)},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "registry.test/tools:1"}]}}},
            "status": {"failed": 2, "conditions": [{"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": "reached", "lastTransitionTime": ago(300)}]}})
    };
    let space = |job: Value| {
        Space::default()
            .workload("bills", State::Unready(300))
            .log(
                "bills",
                &repeat("ProgrammingError: relation \"receipts\" does not exist", 8),
            )
            .with(job)
            .cause("bills")
    };
    says(
        &space(job("bills-migrate", "Failed")),
        &["MigrationJobFailed"],
        "Job/bills-migrate",
        &["receipts", "Deployment/bills"],
    );
    // A Job of another purpose, and a migration that went well, are not why.
    for other in [job("nightly-report", "Failed"), job("bills-migrate", "Complete")] {
        says(&space(other), &["SchemaMissing"], "Deployment/bills", &["receipts"]);
    }
}

#[test]
fn a_name_that_the_run_time_keeps_to_itself_is_found_in_the_settings() {
    let trace = "INFO starting\nTraceback (most recent call last):\n  File \"/app/a.py\", line 7, in <module>\n    smtplib.SMTP(host, port)\n  File \"/usr/lib/python3.13/socket.py\", line 977, in getaddrinfo\n    for res in _socket.getaddrinfo(host, port, family, type, proto, flags):\nsocket.gaierror: [Errno -3] Temporary failure in name resolution";
    let reads = |map: &str| json!({"container": {"envFrom": [{"configMapRef": {"name": map}}]}});
    let space = |host: &str| {
        Space::default()
            .config_map("bills-env", json!({"MAIL_HOST": host, "MAIL_PORT": "25"}), None)
            .config_map("news-env", json!({"MAIL_HOST": "postbox", "MAIL_PORT": "25"}), None)
            .workload_of("bills", State::Crashes(1, "Error"), reads("bills-env"))
            .workload_of("news", State::Serves(9000), reads("news-env"))
            .workload("postbox", State::Serves(9000))
            .crash_log("bills", trace)
    };
    let cause = space("potsbox").cause("bills");
    says(
        &cause,
        &["WrongHostname"],
        "Deployment/bills",
        &["potsbox", "MAIL_HOST", "postbox"],
    );
    let Some(Remedy::WrongConfigMapValue { key, to: Some(to), .. }) = cause.remedy else {
        panic!("{:?}", cause.remedy)
    };
    assert_eq!((key.as_str(), to.value.as_str()), ("MAIL_HOST", "postbox"));
    // The name is right: then it is not the name.
    assert_ne!(space("postbox").cause("bills").category, "WrongHostname");
    // A name that is like none is for a person to tell.
    assert_ne!(space("mx.example.org").cause("bills").category, "WrongHostname");
}

#[test]
fn a_thread_that_ended_leaves_a_ready_program_without_its_work() {
    let text = |name: &str| {
        format!(
            "INFO [MainThread] listening\nException in thread {name}:\nTraceback (most recent call last):\n  File \"/app/a.py\", line 9, in run\n    fetch()\nurllib.error.URLError: <urlopen error [Errno 111] Connection refused>\nINFO [tidy] catalogue tidied\n"
        )
    };
    let space = |text: &str| {
        Space::default()
            .workload("press", State::Serves(300))
            .log_ending("press", text, 60)
    };
    let cause = space(&text("encode")).cause("press");
    says(
        &cause,
        &["ThreadEnded"],
        "Deployment/press",
        &["thread encode", "stopped"],
    );
    assert!(
        matches!(cause.remedy, Some(Remedy::Restart { .. })),
        "{:?}",
        cause.remedy
    );
    // A thread of one request, one that was started again, and one that says more.
    healthy(&space(&text("Thread-7 (process_request_thread)")), "press");
    healthy(&space(&format!("{0}{0}", text("encode"))), "press");
    healthy(
        &space(&format!("{}INFO [encode] clip 4 encoded\n", text("encode"))),
        "press",
    );
}

#[test]
fn steady_work_that_stopped_is_not_called_well() {
    let steady: String = (0..30)
        .map(|n| format!("INFO [encode] clip c{n:05} encoded\n"))
        .collect();
    let calls = json!({"container": {"env": [{"name": "QUEUE_URL", "value": "http://queue:8080"}]}});
    let depth = |from: usize, step: usize| -> String {
        (0..6)
            .map(|n| format!("queue=clips depth={} oldest=9\n", from + n * step))
            .collect()
    };
    let space = |text: &str, queue: &str| {
        Space::default()
            .workload_of("press", State::Serves(300), calls.clone())
            .workload("queue", State::Serves(300))
            .log_ending("press", text, 60)
            .log("queue", queue)
    };
    let cause = space(&format!("{steady}INFO [tidy] tidying\n"), &depth(3, 10)).cause("press");
    says(&cause, &["WorkStopped"], "Deployment/press", &["silent", "depth grows"]);
    assert!(
        matches!(cause.remedy, Some(Remedy::Restart { .. })),
        "{:?}",
        cause.remedy
    );
    // Nothing waits: it may have nothing to do. That is not known to be well, and no cause.
    let idle = space(&steady, &depth(0, 0)).read("Deployment", "press");
    assert_eq!(idle.verdict, Verdict::Unexplained, "{:#?}", idle.findings);
    // Requests end when nobody asks, and waiting for a dependency ends well.
    let waited: String = (0..30).map(|n| format!("waiting for queue ({n})\n")).collect();
    for well in [served(40), waited] {
        healthy(&space(&well, &depth(0, 0)), "press");
    }
}

#[test]
fn a_failure_that_a_container_has_outlived_is_over() {
    let space = |ran: i64, runs: i64, reason: &str| {
        let mut space = Space::default()
            .workload("desk", State::Serves(600))
            .log("desk", "INFO listening\n");
        let pod = space.objects.iter_mut().find(|object| object["kind"] == "Pod").unwrap();
        pod["status"]["containerStatuses"][0]["restartCount"] = json!(2);
        pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = json!(ago(runs));
        pod["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": {"exitCode": 1, "reason": reason,
            "startedAt": ago(runs + 20 + ran), "finishedAt": ago(runs + 20)}});
        space.logs.push((
            "desk-p".to_owned(),
            true,
            1500,
            format!("{} CRITICAL seats not reachable: Connection refused", ago(runs + 20)),
        ));
        space
    };
    healthy(&space(1, 90, "Error"), "desk");
    for again in [space(1, 5, "Error"), space(60, 90, "Error"), space(1, 90, "OOMKilled")] {
        assert_ne!(again.read("Deployment", "desk").verdict, Verdict::Healthy);
    }
}
