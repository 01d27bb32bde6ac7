//! Failures that have a name in Kubernetes itself: each beside what looks like it and is not.

use serde_json::{Value, json};

use crate::case::{App, Case, EARLIER, LONG_AGO, NOW, NS, claim, config_map, container, with};

const APP: (&str, &str) = ("Deployment", "store");

fn hpa(conditions: Value, target: &str) -> Value {
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "store", "namespace": NS, "creationTimestamp": LONG_AGO},
        "spec": {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]},
        "status": {"currentReplicas": 3, "desiredReplicas": 3, "conditions": conditions}})
}

fn sized() -> App {
    App::new("store").container(json!({"resources": {"requests": {"cpu": "100m"}}}))
}

#[test]
fn an_autoscaler_says_by_its_conditions_why_it_does_not_help() {
    let target = ("HorizontalPodAutoscaler", "store");
    let object = "HorizontalPodAutoscaler/store";
    let of = |type_: &str, status: &str, reason: &str, message: &str, scaled: &str| {
        let conditions = json!([{"type": type_, "status": status, "reason": reason, "message": message}]);
        sized().alone().with(hpa(conditions, scaled))
    };
    let limited = |reason: &str| {
        of(
            "ScalingLimited",
            "True",
            reason,
            "the desired replica count is beyond a bound",
            "store",
        )
    };
    limited("TooManyReplicas").expect(target, "HpaAtMaximum", object, &["maximum of 3"]);
    // At its minimum for want of load; and a program that nobody waits for is well, whatever its autoscaler wants.
    limited("TooFewReplicas").never(target, "HpaAtMaximum");
    limited("TooManyReplicas").healthy(APP.0, APP.1);

    let inactive = |reason: &str, message: &str| of("ScalingActive", "False", reason, message, "store");
    let absent = "unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)";
    inactive("FailedGetResourceMetric", absent).expect(target, "HpaWithoutMetrics", object, &["gets no metrics"]);
    // Scaled to nothing by a person: it is disabled, not broken.
    inactive(
        "ScalingDisabled",
        "scaling is disabled since the replica count of the target is zero",
    )
    .never(target, "HpaWithoutMetrics");

    let words = "the HPA controller was unable to get the target's current scale: deployments.apps \"stor\" not found";
    of("AbleToScale", "False", "FailedGetScale", words, "stor").expect(
        target,
        "HpaTargetMissing",
        object,
        &["Deployment/stor", "not found"],
    );
    of(
        "AbleToScale",
        "True",
        "ReadyForNewScale",
        "recommended size matches current size",
        "store",
    )
    .never(target, "HpaTargetMissing");
}

fn job(fields: Value) -> Value {
    with(
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "rollup", "namespace": NS, "creationTimestamp": EARLIER},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container()]}}}}),
        fields,
    )
}

#[test]
fn a_job_that_failed_says_by_what_and_one_that_is_suspended_did_not() {
    let failed = |reason: &str| {
        Case::default().with(job(
            json!({"status": {"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": reason,
            "message": "Job was active longer than specified deadline", "lastTransitionTime": EARLIER}]}}),
        ))
    };
    let target = ("Job", "rollup");
    failed("DeadlineExceeded").expect(target, "JobDeadlineExceeded", "Job/rollup", &["activeDeadlineSeconds"]);
    failed("BackoffLimitExceeded").never(target, "JobDeadlineExceeded");
    let diagnosis = failed("BackoffLimitExceeded").read(target.0, target.1);
    assert!(
        diagnosis.findings.iter().any(|finding| finding.category == "JobFailed"),
        "{:#?}",
        diagnosis.findings
    );

    let suspended = Case::default().with(job(json!({"spec": {"suspend": true}})));
    suspended.expect(target, "JobSuspended", "Job/rollup", &["is suspended"]);
    Case::default()
        .with(job(json!({"status": {"active": 1}})))
        .never(target, "JobSuspended");
}

#[test]
fn a_paused_rollout_is_a_cause_only_while_it_holds_something_back() {
    let paused = |updated: i32| {
        App::new("store").alone().change(
            "Deployment",
            "store",
            json!({"spec": {"paused": true}, "status": {"updatedReplicas": updated}}),
        )
    };
    paused(0).expect(APP, "RolloutPaused", "Deployment/store", &["is paused"]);
    paused(1).healthy(APP.0, APP.1);
}

#[test]
fn a_sandbox_that_is_not_made_is_the_nodes_trouble_and_one_that_was_made_in_the_end_is_none() {
    let words = "Failed to create pod sandbox: plugin type=\"bridge\" failed (add): failed to allocate for range 0: no IP addresses available in range set";
    let failing = App::new("store").waiting("ContainerCreating", "");
    let pod = failing.pod();
    failing
        .alone()
        .warning("Pod", &pod, "FailedCreatePodSandBox", words)
        .expect(
            APP,
            "PodSandboxFails",
            "Deployment/store",
            &["no IP addresses available"],
        );
    App::new("store")
        .alone()
        .warning("Pod", &pod, "FailedCreatePodSandBox", words)
        .healthy(APP.0, APP.1);
}

#[test]
fn a_kubelet_that_refuses_a_pod_is_told_from_an_eviction() {
    let failed = |reason: &str, message: &str| {
        let mut app = App::new("store")
            .status(json!({"phase": "Failed", "reason": reason, "message": message, "containerStatuses": []}));
        app.ready = false;
        app.phase = "Failed";
        app.alone()
    };
    failed(
        "OutOfcpu",
        "Node didn't have enough resource: cpu, requested: 900, used: 3500, capacity: 4000",
    )
    .expect(APP, "RefusedByKubelet", "Deployment/store", &["OutOfcpu", "node-a"]);
    failed(
        "Evicted",
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi.",
    )
    .never(APP, "RefusedByKubelet");
}

#[test]
fn a_pod_that_does_not_go_away_says_what_holds_it_and_one_within_its_time_says_nothing() {
    let going = |at: &str, finalizers: Value| {
        App::new("store").alone().change(
            "Pod",
            "store-6d4b9-x7k2p",
            json!({"metadata": {"deletionTimestamp": at, "deletionGracePeriodSeconds": 30, "finalizers": finalizers}}),
        )
    };
    going(EARLIER, json!(["example.com/drain"])).expect(
        APP,
        "StuckTerminating",
        "Deployment/store",
        &["finalizers example.com/drain"],
    );
    going(NOW, json!([])).never(APP, "StuckTerminating");
}

#[test]
fn a_claim_that_lost_its_volume_is_not_one_that_waits_for_its_first_pod() {
    let mounted = || {
        App::new("store").spec(json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}))
    };
    let message = "0/1 nodes are available: persistentvolumeclaim \"data\" bound to non-existent persistentvolume \"pv-1\". preemption: not helpful.";
    let lost = mounted().unscheduled(message).alone().with(claim(
        "data",
        json!({"spec": {"volumeName": "pv-1"}, "status": {"phase": "Lost"}}),
    ));
    lost.expect(APP, "ClaimLost", "PersistentVolumeClaim/data", &["lost its volume"]);
    let read = lost.read(APP.0, APP.1);
    assert!(
        read.findings.iter().any(|finding| finding.category == "WaitsForClaim"),
        "{:#?}",
        read.findings
    );
    mounted()
        .alone()
        .with(claim("data", json!({"status": {"phase": "Bound"}})))
        .never(APP, "ClaimLost");
}

#[test]
fn a_working_directory_that_cannot_be_entered_is_not_a_missing_command() {
    let message = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: chdir to cwd (\"/srv/app\") set in config.json failed: permission denied";
    App::new("store").crashing(128, "StartError", message).alone().expect(
        APP,
        "WorkingDirectoryMissing",
        "Deployment/store",
        &["working directory"],
    );
    let command = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"serve\": executable file not found in $PATH";
    App::new("store")
        .crashing(128, "StartError", command)
        .alone()
        .never(APP, "WorkingDirectoryMissing");
}

#[test]
fn a_hook_that_outlasts_the_grace_period_is_why_the_program_was_not_told_to_end() {
    let killed = |hook: Value, grace: i64, code: i32, reason: &str| {
        App::new("store")
            .container(json!({"lifecycle": {"preStop": hook}}))
            .spec(json!({"terminationGracePeriodSeconds": grace}))
            .crashing(code, reason, "")
            .alone()
    };
    let shell = |text: &str| json!({"exec": {"command": ["/bin/sh", "-c", text]}});
    for hook in [
        shell("sleep 60"),
        shell("curl -s localhost:9/drain; sleep 1m"),
        json!({"sleep": {"seconds": 30}}),
    ] {
        killed(hook, 30, 137, "Error").expect(
            APP,
            "PreStopOutlastsGrace",
            "Deployment/store",
            &["killed", "terminationGracePeriodSeconds is 30"],
        );
    }
    killed(shell("sleep 10"), 30, 137, "Error").never(APP, "PreStopOutlastsGrace");
    killed(shell("sleep 60"), 90, 137, "Error").never(APP, "PreStopOutlastsGrace");
    killed(shell("sleep 60"), 30, 1, "Error").never(APP, "PreStopOutlastsGrace");
    killed(shell("sleep 60"), 30, 137, "OOMKilled").never(APP, "PreStopOutlastsGrace");
    killed(shell("nginx -s quit"), 30, 137, "Error").never(APP, "PreStopOutlastsGrace");
}

/// A program that ends with these last words.
fn ends(words: &str) -> Case {
    let app = App::new("store").crashing(1, "Error", "");
    let pod = app.pod();
    let said = format!("started\n{words}\n");
    let mut case = app.alone().log(&pod, &said);
    case = case.log_before(&pod, &said);
    case
}

#[test]
fn last_words_of_run_times_are_known_and_the_same_words_of_a_running_program_are_not_trouble() {
    for (words, category) in [
        ("ERROR listen tcp :8080: bind: address already in use", "AddressInUse"),
        ("PANIC:  could not locate a valid checkpoint record", "DataCorrupt"),
        ("java.lang.OutOfMemoryError: Java heap space", "OutOfMemoryInProcess"),
        (
            "FATAL migration 0042_add_region failed: relation is locked",
            "MigrationFailed",
        ),
        (
            "sh: -c: line 1: unexpected EOF while looking for matching `\"'",
            "SyntaxError",
        ),
        ("fatal error: concurrent map read and map write", "DataRace"),
        ("RuntimeError: dictionary changed size during iteration", "DataRace"),
    ] {
        let diagnosis = ends(words).read(APP.0, APP.1);
        let claimed = diagnosis.findings.iter().any(|finding| finding.category == category);
        assert!(claimed, "{words}: {:#?}", diagnosis.findings);
        let cause = ends(words).cause(APP.0, APP.1);
        assert_eq!(cause.category, category, "{}", cause.summary);
    }
    let app = App::new("store");
    let pod = app.pod();
    let runs = app.alone().log(
        &pod,
        "INFO retried after java.util.ConcurrentModificationException\nINFO served\nINFO served\n",
    );
    runs.healthy(APP.0, APP.1);
}

#[test]
fn what_is_not_closed_is_a_cause_only_where_it_has_run_out() {
    let warning = "WARN Apparent connection leak detected\n";
    let exhausted = "ERROR HikariPool-1 - Connection is not available, request timed out after 30000ms\n";
    let app = App::new("store").unready();
    let pod = app.pod();
    app.alone()
        .log(&pod, &format!("{warning}{exhausted}").repeat(6))
        .expect(
            APP,
            "ResourceLeak",
            "Deployment/store",
            &["leak detected", "not available"],
        );
    // A pool that is too small for its load.
    App::new("store")
        .unready()
        .alone()
        .log(&pod, &exhausted.repeat(6))
        .never(APP, "ResourceLeak");
    // A warning in a program that lacks nothing.
    App::new("store")
        .alone()
        .log(&pod, &format!("{warning}INFO served\n").repeat(3))
        .never(APP, "ResourceLeak");
}

#[test]
fn what_no_table_knows_is_still_named_by_who_refuses_it() {
    let message = "failed to create containerd task: failed to create shim task: the hypervisor said no";
    App::new("store").crashing(128, "StartError", message).alone().expect(
        APP,
        "CannotStart",
        "Deployment/store",
        &["hypervisor"],
    );
    // A program that starts and ends is another matter.
    App::new("store")
        .crashing(1, "Error", "")
        .alone()
        .never(APP, "CannotStart");

    let mut app = App::new("store").without_pods();
    app.ready = false;
    let refused = "Error creating: pods \"store-6d4b9-\" is forbidden: the moon is in the wrong quarter";
    app.alone()
        .warning("ReplicaSet", "store-6d4b9", "FailedCreate", refused)
        .expect(APP, "PodsRefused", "Deployment/store", &["moon"]);
    App::new("store")
        .alone()
        .warning("ReplicaSet", "store-6d4b9", "FailedCreate", refused)
        .healthy(APP.0, APP.1);
}

#[test]
fn what_is_too_large_is_not_a_disk_that_is_full() {
    let app = App::new("store").unready();
    let pod = app.pod();
    let large = "ERROR upload to http://files:8080 failed: 413 Request Entity Too Large\n".repeat(5);
    let case = app.alone().log(&pod, &large);
    case.never(APP, "DiskFull");
    let read = case.read(APP.0, APP.1);
    assert!(
        read.findings
            .iter()
            .any(|finding| finding.category == "MessageTooLarge"),
        "{:#?}",
        read.findings
    );
    let told = "INFO 413 Request Entity Too Large was answered to a client\nINFO served\n".repeat(3);
    App::new("store").alone().log(&pod, &told).healthy(APP.0, APP.1);
}

#[test]
fn what_a_projected_volume_names_must_be_there_unless_it_is_optional() {
    let source = |fields: Value| {
        let map = with(
            json!({"name": "rules", "items": [{"key": "rules.yaml", "path": "a/rules.yaml"}]}),
            fields,
        );
        let volume =
            json!({"name": "all", "projected": {"sources": [{"downwardAPI": {"items": []}}, {"configMap": map}]}});
        App::new("store").spec(json!({"volumes": [volume]}))
    };
    let held = |fields: Value, words: &str| {
        let app = source(fields).waiting("ContainerCreating", "");
        let pod = app.pod();
        app.alone().warning(
            "Pod",
            &pod,
            "FailedMount",
            &format!("MountVolume.SetUp failed for volume \"all\" : {words}"),
        )
    };
    held(json!({}), "configmap \"rules\" not found").expect(APP, "MissingConfigMap", "Deployment/store", &["rules"]);
    let key = "configmap references non-existent config key: rules.yaml";
    let with_key = held(json!({}), key).with(config_map("rules", json!({"rule.yaml": "a: 1"})));
    let cause = with_key.cause(APP.0, APP.1);
    assert_eq!(cause.category, "MissingConfigMapKey", "{}", cause.summary);
    source(json!({"optional": true})).alone().healthy(APP.0, APP.1);
}
