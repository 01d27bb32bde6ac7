//! What programs say of themselves as they fail, in the words of several run times; beside it words that sound alike.

use serde_json::json;

use crate::case::{App, Case};

const APP: (&str, &str) = ("Deployment", "store");

/// Crashes with that as its last words.
fn says(lines: &str) -> Case {
    let app = App::new("store").crashing(1, "Error", "");
    let pod = app.pod();
    app.alone().log(&pod, &format!("starting\n{lines}\n"))
}

#[test]
fn last_words_are_understood_whatever_the_run_time() {
    for (lines, category) in [
        ("panic: listen tcp :8080: bind: address already in use", "AddressInUse"),
        (
            "Error: listen EADDRINUSE: address already in use :::3000",
            "AddressInUse",
        ),
        ("FATAL: index \"orders_pkey\" is corrupted", "DataCorrupt"),
        ("PANIC:  could not locate a valid checkpoint record", "DataCorrupt"),
        (
            "FlywayException: Validate failed: Migration checksum mismatch for migration version 7",
            "MigrationFailed",
        ),
        (
            "error: Dirty database version 42. Fix and force version.",
            "MigrationFailed",
        ),
        (
            "Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space",
            "OutOfMemoryInProcess",
        ),
        (
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
            "OutOfMemoryInProcess",
        ),
        (
            "/app/run.sh: line 12: syntax error near unexpected token `fi'",
            "SyntaxError",
        ),
    ] {
        says(lines).expect(APP, category, "Deployment/store", &[]);
    }
}

#[test]
fn a_service_that_runs_and_mentions_such_words_is_well() {
    let app = App::new("store");
    let pod = app.pod();
    app.alone()
        .log(&pod, "INFO checked 120 pages, 0 corrupt\nINFO migration 42 applied, no errors\nINFO listening on :8080, address reuse is on\n")
        .healthy("Deployment", "store");
}

#[test]
fn a_message_that_is_too_large_is_named() {
    for line in [
        "ERROR org.apache.kafka.common.errors.RecordTooLargeException: The message is 2097270 bytes when serialized which is larger than 1048576",
        "ERROR rpc error: code = ResourceExhausted desc = grpc: received message larger than max (5242892 vs. 4194304)",
        "ERROR upload failed: HTTP 413 Request Entity Too Large",
    ] {
        let app = App::new("store").unready().container(json!({}));
        let pod = app.pod();
        app.alone()
            .log(&pod, &format!("{line}\n").repeat(6))
            .expect(APP, "MessageTooLarge", "Deployment/store", &[]);
    }
}
