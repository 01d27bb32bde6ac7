//! Jobs that come to no end.

use serde_json::{Value, json};

use crate::case::{Case, EARLIER, LONG_AGO, NS, container};

fn job(spec: Value, status: Value) -> Value {
    let mut spec = spec;
    spec["template"] = json!({"spec": {"restartPolicy": "Never", "containers": [container()]}});
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "report", "namespace": NS, "creationTimestamp": LONG_AGO}, "spec": spec, "status": status})
}

fn failed(reason: &str, message: &str) -> Value {
    json!({"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": reason, "message": message, "lastTransitionTime": EARLIER}]})
}

#[test]
fn a_job_beyond_its_deadline_is_told_from_one_that_failed() {
    Case::default()
        .with(job(
            json!({"activeDeadlineSeconds": 60}),
            failed("DeadlineExceeded", "Job was active longer than specified deadline"),
        ))
        .expect(
            ("Job", "report"),
            "JobDeadlineExceeded",
            "Job/report",
            &[
                "did not end within its activeDeadlineSeconds",
                "longer than specified deadline",
            ],
        );
    Case::default()
        .with(job(
            json!({}),
            failed("BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        ))
        .never(("Job", "report"), "JobDeadlineExceeded");
}

#[test]
fn a_job_that_is_suspended_is_a_cause_only_where_somebody_asks_for_it() {
    let suspended = || {
        job(
            json!({"suspend": true}),
            json!({"conditions": [{"type": "Suspended", "status": "True"}]}),
        )
    };
    Case::default().with(suspended()).expect(
        ("Job", "report"),
        "JobSuspended",
        "Job/report",
        &["is suspended, so it starts no pod"],
    );
    crate::case::App::new("store")
        .alone()
        .with(suspended())
        .never(("Deployment", "store"), "JobSuspended");
    Case::default()
        .with(job(json!({"suspend": false}), json!({"active": 1})))
        .never(("Job", "report"), "JobSuspended");
}
