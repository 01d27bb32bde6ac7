//! Calls that fail: the cause lies where they lead, however many programs stand between, and in whatever words it is told.
use firewatch_core::diagnosis::Verdict;
use serde_json::json;

use crate::space::{Space, State, served};
use crate::{healthy, repeat, says};

#[test]
fn the_called_program_that_is_down_is_found_in_the_words_of_many_clients() {
    for line in [
        "org.postgresql.util.PSQLException: Connection to stock:8080 refused. Check that the hostname and port are correct",
        "ERROR psycopg2.OperationalError: connection to server at \"stock\" (10.96.0.5), port 8080 failed: Connection refused",
        "ERROR dial tcp 10.96.0.5:8080: connect: connection refused",
        "Error: connect ECONNREFUSED 10.96.0.5:8080",
        "ERROR redis.exceptions.ConnectionError: Error 111 connecting to stock:8080. Connection refused.",
        "{\"level\":\"error\",\"ts\":1,\"msg\":\"rpc failed\",\"err\":\"rpc error: code = Unavailable desc = connection error: desc = \\\"transport: Error while dialing: dial tcp 10.96.0.5:8080: connect: connection refused\\\"\"}",
        "level=error msg=\"request failed\" error=\"Post \\\"http://stock:8080/take\\\": dial tcp 10.96.0.5:8080: i/o timeout\"",
        "WARN [Producer clientId=p-1] Connection to node -1 (stock/10.96.0.5:8080) could not be established. Broker may not be available.",
        "ERROR requests.exceptions.ConnectionError: HTTPConnectionPool(host='stock', port=8080): Max retries exceeded with url: /take",
        "System.Net.Http.HttpRequestException: Connection refused (stock:8080)",
        "ERROR stock service unavailable: returned 503",
        "ERROR upstream stock responded with 503 Service Unavailable",
    ] {
        let space = Space::default()
            .workload("basket", State::Serves(4000))
            .workload("stock", State::Crashes(78, "Error"))
            .log("basket", &format!("{}{}", served(20), repeat(line, 9)))
            .crash_log("stock", "FATAL required setting STOCK_REGION is not set");
        says(
            &space.cause("basket"),
            &["MissingEnvironmentVariable"],
            "Deployment/stock",
            &["STOCK_REGION"],
        );
    }
}

#[test]
fn a_cascade_over_three_services_that_are_ready_leads_to_the_deepest() {
    let space = Space::default()
        .workload("gate", State::Serves(4000))
        .workload("basket", State::Serves(4000))
        .workload("stock", State::Serves(4000))
        .workload("ledger", State::Unready(900))
        .log(
            "gate",
            &format!(
                "{}{}",
                served(10),
                repeat("ERROR GET http://basket:8080/sum failed: HTTP 502", 8)
            ),
        )
        .log(
            "basket",
            &format!(
                "{}{}",
                served(10),
                repeat("ERROR stock: upstream answered 503 Service Unavailable", 8)
            ),
        )
        .log(
            "stock",
            &format!(
                "{}{}",
                served(10),
                repeat("ERROR query failed: dial tcp: ledger:8080: i/o timeout", 8)
            ),
        )
        .log(
            "ledger",
            &repeat(
                "PANIC: could not write to file \"pg_wal/xlogtemp.31\": No space left on device",
                6,
            ),
        );
    let diagnosis = space.read("Deployment", "gate");
    let root = diagnosis.root_cause.unwrap();
    says(&root.finding, &["DiskFull"], "Deployment/ledger", &["no space"]);
    assert!(root.chain.len() >= 4, "{:#?}", root.chain);
    assert!(
        root.chain[0].contains("gate") && root.chain.last().unwrap().contains("ledger"),
        "{:#?}",
        root.chain
    );
}

#[test]
fn credentials_that_a_dependency_refuses_since_they_changed_are_named() {
    let space = Space::default()
        .workload("orders", State::Serves(4000))
        .workload("ledger", State::Serves(4000))
        .log(
            "orders",
            &format!(
                "{}{}",
                served(15),
                repeat(
                    "ERROR connect ledger:8080: FATAL: password authentication failed for user \"orders\"",
                    9
                )
            ),
        )
        .log(
            "ledger",
            &repeat(
                "2026-05-04 09:29:00 UTC [77] FATAL:  password authentication failed for user \"orders\"",
                9,
            ),
        );
    let cause = space.cause("orders");
    says(
        &cause,
        &["CredentialsRefused"],
        "Deployment/orders",
        &["credentials", "refused"],
    );
}

#[test]
fn a_retry_storm_is_the_callers_line_and_the_called_is_the_cause() {
    let code = "import requests\n\ndef take():\n    while True:\n        try:\n            return requests.get('http://stock:8080')\n        except Exception:\n            continue\n";
    let space = Space::default()
        .config_map("basket-src", json!({"main.py": code}), None)
        .workload_of(
            "basket",
            State::Serves(4000),
            json!({"pod": {"volumes": [{"name": "s", "configMap": {"name": "basket-src"}}]}}),
        )
        .workload("stock", State::Serves(4000))
        .log("basket", &repeat("ERROR http://stock:8080 answered HTTP 503", 60))
        .log("stock", &repeat("ERROR server is busy: worker queue is full", 60));
    let diagnosis = space.read("Deployment", "basket");
    assert!(
        diagnosis
            .findings
            .iter()
            .any(|finding| finding.category == "SuspectCode" && finding.summary.contains("line 4")),
        "{:#?}",
        diagnosis.findings
    );
    assert_eq!(diagnosis.verdict, Verdict::Found);
}

#[test]
fn a_slow_dependency_that_is_ready_is_named_and_not_its_callers() {
    let slow = |own: &str| {
        Space::default()
            .workload("gate", State::Serves(4000))
            .workload("basket", State::Serves(4000))
            .workload("stock", State::Serves(4000))
            .log(
                "gate",
                &format!(
                    "{}{}",
                    served(10),
                    repeat("ERROR http://stock:8080/take: context deadline exceeded", 9)
                ),
            )
            .log(
                "basket",
                &format!(
                    "{}{}",
                    served(10),
                    repeat(
                        "ERROR HTTPConnectionPool(host='stock', port=8080): Read timed out. (read timeout=3)",
                        9
                    )
                ),
            )
            .log("stock", own)
    };
    let cause = slow(&format!("{}{}", served(10), repeat("WARN slow query took 8123 ms", 12))).cause("gate");
    says(
        &cause,
        &["DependencyNotAnswering"],
        "Deployment/stock",
        &["slow query", "Deployment/basket"],
    );
    // Where it says itself what is wrong, that is the cause.
    let cause = slow(&format!(
        "{}{}",
        served(10),
        repeat("ERROR accept4: too many open files", 12)
    ))
    .cause("gate");
    says(&cause, &["TooManyOpenFiles"], "Deployment/stock", &[]);
}

#[test]
fn one_log_of_several_programs_tells_where_a_cascade_began() {
    let line = |service: &str, message: &str| {
        format!("{{\"level\":\"ERROR\",\"service\":\"{service}\",\"message\":\"{message}\"}}\n")
    };
    let quiet = "{\"level\":\"INFO\",\"service\":\"seat-service\",\"message\":\"request served\"}\n".repeat(30);
    let chain = [
        line("seat-service", "Lost connection to seat-cache:6379"),
        line(
            "fare-service",
            "Seat service unavailable: call to seat-service returned 503",
        ),
        line("trip-service", "cannot price: fare-service responded with 503"),
    ]
    .concat();
    let space = Space::default()
        .workload("trips", State::Serves(4000))
        .log("trips", &format!("{quiet}{chain}{quiet}"));
    let cause = space.cause("trips");
    says(
        &cause,
        &["CascadeInLog"],
        "Deployment/trips",
        &["begins at seat-service", "seat-cache:6379"],
    );
    assert!(cause.confidence.as_hundredths() < 70, "{}", cause.confidence);
    // Errors of several programs that do not name each other are no cascade.
    let apart = [
        line("seat-service", "odd seat"),
        line("fare-service", "odd fare"),
        line("trip-service", "odd trip"),
    ]
    .concat();
    healthy(
        &Space::default()
            .workload("trips", State::Serves(4000))
            .log("trips", &format!("{quiet}{apart}{quiet}")),
        "trips",
    );
}

#[test]
fn names_that_exist_and_do_not_resolve_blame_the_clusters_dns() {
    let space = Space::default()
        .workload("gate", State::Serves(4000))
        .workload("stock", State::Serves(4000))
        .log(
            "gate",
            &format!(
                "{}{}",
                served(10),
                repeat("ERROR dial tcp: lookup stock on 10.96.0.10:53: server misbehaving", 9)
            ),
        );
    says(
        &space.cause("gate"),
        &["DnsFails"],
        "Deployment/gate",
        &["Service/stock", "dns"],
    );
}

#[test]
fn two_sides_that_speak_different_protocols_are_named() {
    let space = Space::default()
        .workload("gate", State::Serves(4000))
        .workload("stock", State::Serves(4000))
        .log(
            "gate",
            &format!(
                "{}{}",
                served(10),
                repeat(
                    "ERROR Get \"https://stock:8080/\": http: server gave HTTP response to HTTPS client",
                    9
                )
            ),
        );
    says(
        &space.cause("gate"),
        &["ProtocolMismatch"],
        "Deployment/gate",
        &["stock:8080", "tls"],
    );
}

#[test]
fn a_lookup_that_does_not_name_its_host_is_for_the_one_host_that_nothing_has() {
    let trace = "Traceback (most recent call last):\n  File \"/app/m.py\", line 7, in <module>\n    connect(host)\nsocket.gaierror: [Errno -3] Temporary failure in name resolution";
    let space = |host: &str| {
        Space::default()
            .workload_of(
                "mailer",
                State::Crashes(1, "Error"),
                json!({"container": {"env": [{"name": "RELAY_HOST", "value": host}, {"name": "MODE", "value": "batch"}]}}),
            )
            .workload("relay", State::Serves(4000))
            .crash_log("mailer", trace)
    };
    says(
        &space("rleay").cause("mailer"),
        &["WrongHostname"],
        "Deployment/mailer",
        &["rleay", "RELAY_HOST"],
    );
    assert_ne!(space("relay").cause("mailer").category, "WrongHostname");
}
