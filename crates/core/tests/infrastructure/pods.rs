//! Images, starts, evictions, gates, what a program lacks around it.

use serde_json::json;

use crate::case::{App, Case, EARLIER, node};

const APP: (&str, &str) = ("Deployment", "store");

fn pull(message: &str) -> Case {
    let app = App::new("store").waiting("ImagePullBackOff", "Back-off pulling image");
    let pod = app.pod();
    app.alone().warning(
        "Pod",
        &pod,
        "Failed",
        &format!("Failed to pull image \"registry.example/store/app:1.4\": {message}"),
    )
}

#[test]
fn a_pull_that_fails_says_which_of_its_reasons_it_is() {
    for (message, category) in [
        (
            "rpc error: code = NotFound desc = failed to pull and unpack image \"registry.example/store/app:1.4\": failed to resolve reference \"registry.example/store/app:1.4\": registry.example/store/app:1.4: not found",
            "ImagePullFailed",
        ),
        (
            "failed to pull and unpack image \"docker.io/store/app:1.4\": failed to resolve reference: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
            "ImagePullFailed",
        ),
        (
            "failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://registry.example/token: 401 Unauthorized",
            "RegistryRefuses",
        ),
        (
            "failed to do request: Head \"https://registry.example/v2/store/app/manifests/1.4\": dial tcp: lookup registry.example on 10.0.0.2:53: no such host",
            "RegistryUnreachable",
        ),
        (
            "failed to do request: Head \"https://registry.example/v2/store/app/manifests/1.4\": dial tcp 10.1.1.1:443: connect: connection refused",
            "RegistryUnreachable",
        ),
        (
            "failed to do request: Head \"https://registry.example/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "RegistryCertificateRefused",
        ),
        (
            "429 Too Many Requests - Server message: toomanyrequests: You have reached your unauthenticated pull rate limit.",
            "PullLimitReached",
        ),
        (
            "failed to pull and unpack image: no match for platform in manifest: not found",
            "WrongPlatform",
        ),
    ] {
        pull(message).expect(APP, category, "Deployment/store", &["cannot be pulled"]);
    }
    App::new("store")
        .waiting("InvalidImageName", "Failed to apply default image tag \"Store:1:2\": couldn't parse image name \"Store:1:2\": invalid reference format")
        .alone()
        .expect(APP, "ImageNameInvalid", "Deployment/store", &["not a valid image reference"]);
    App::new("store")
        .waiting(
            "ErrImageNeverPull",
            "Container image \"store:dev\" is not present with pull policy of Never",
        )
        .alone()
        .expect(APP, "ImageNeverPulled", "Deployment/store", &["Never"]);
}

#[test]
fn a_pull_secret_that_is_missing_is_a_cause_only_where_the_registry_refuses() {
    let words = "Unable to retrieve some image pull secrets (regcred); attempting to pull the image may not succeed.";
    let pod = App::new("store").pod();
    pull("failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized")
        .warning("Pod", &pod, "FailedToRetrieveImagePullSecret", words)
        .expect(APP, "ImagePullSecretMissing", "Deployment/store", &["regcred"]);
    // A wrong tag in a public registry: the Secret has nothing to do with it.
    pull("rpc error: code = NotFound desc = registry.example/store/app:1.4: not found")
        .warning("Pod", &pod, "FailedToRetrieveImagePullSecret", words)
        .expect(APP, "ImagePullFailed", "Deployment/store", &["not found"]);
    // The image is public, the pull succeeded.
    App::new("store")
        .alone()
        .warning("Pod", &pod, "FailedToRetrieveImagePullSecret", words)
        .healthy("Deployment", "store");
}

#[test]
fn what_the_runtime_refuses_is_told_apart() {
    let start = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: ";
    for (message, category, words) in [
        (
            format!("{start}container init was OOM-killed (memory limit too low?): unknown"),
            "MemoryLimitTooLow",
            "memory limit of 4Mi",
        ),
        (
            format!("{start}error during container init: error mounting \"/var/lib/kubelet/pods/x/volume-subpaths/config/app/0\" to rootfs at \"/etc/app/app.yaml\": not a directory: unknown: Are you trying to mount a directory onto a file (or vice-versa)?"),
            "MountPathConflict",
            "mount",
        ),
        (
            format!("{start}error during container init: exec: \"/srv/app/run\": stat /srv/app/run: no such file or directory: unknown"),
            "MountHidesProgram",
            "hides what the image has there",
        ),
        (
            format!("{start}error during container init: exec: \"/usr/bin/run\": stat /usr/bin/run: no such file or directory: unknown"),
            "CommandNotFound",
            "/usr/bin/run",
        ),
        (
            format!("{start}error during container init: exec: \"/usr/bin/run\": permission denied: unknown"),
            "CommandNotExecutable",
            "permission denied",
        ),
        (
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: unable to find user shopkeeper: no matching entries in passwd file: unknown".to_owned(),
            "UserUnknown",
            "shopkeeper",
        ),
    ] {
        App::new("store")
            .container(json!({"resources": {"limits": {"memory": "4Mi"}}, "volumeMounts": [{"name": "content", "mountPath": "/srv/app"}]}))
            .spec(json!({"volumes": [{"name": "content", "emptyDir": {}}]}))
            .crashing(128, "StartError", &message)
            .alone()
            .expect(APP, category, "Deployment/store", &[words]);
    }
    for (reason, message, category) in [
        (
            "CreateContainerError",
            "failed to generate container \"x\" spec: failed to generate spec: no command specified",
            "EntrypointMissing",
        ),
        (
            "CreateContainerConfigError",
            "failed to prepare subPath for volumeMount \"content\" of container \"app\"",
            "MountPathConflict",
        ),
        (
            "CreateContainerConfigError",
            "container has runAsNonRoot and image will run as root (pod: \"store_market(1)\", container: app)",
            "RunAsRootRefused",
        ),
        (
            "CreateContainerConfigError",
            "container has runAsNonRoot and image has non-numeric user (nginx), cannot verify user is non-root (pod: \"store_market(1)\", container: app)",
            "RunAsRootRefused",
        ),
        (
            "CreateContainerError",
            "failed to create containerd container: cannot load seccomp profile \"/var/lib/kubelet/seccomp/audit.json\": open /var/lib/kubelet/seccomp/audit.json: no such file or directory",
            "SecurityProfileMissing",
        ),
    ] {
        App::new("store")
            .waiting(reason, message)
            .alone()
            .expect(APP, category, "Deployment/store", &[]);
    }
}

fn evicted(message: &str) -> Case {
    let mut app = App::new("store")
        .status(json!({"phase": "Failed", "reason": "Evicted", "message": message, "containerStatuses": []}));
    app.ready = false;
    app.alone().cluster(node("node-a", json!({})))
}

#[test]
fn an_eviction_for_its_own_disk_is_not_one_for_the_nodes() {
    for (message, words) in [
        (
            "Usage of EmptyDir volume \"cache\" exceeds the limit \"64Mi\". ",
            "emptyDir volume cache",
        ),
        (
            "Container app exceeded its local ephemeral storage limit \"1Gi\". ",
            "ephemeral-storage limit of 1Gi",
        ),
        (
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Gi. ",
            "2Gi together",
        ),
    ] {
        evicted(message).expect(APP, "EphemeralStorageExceeded", "Deployment/store", &[words]);
    }
    let low = evicted(
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 68Mi. Container app was using 3Gi, request is 256Mi, has larger consumption of memory. ",
    );
    low.expect(
        APP,
        "Evicted",
        "Deployment/store",
        &["low on memory", "used 3Gi and requested 256Mi"],
    );
    low.never(APP, "OutOfMemory");
}

#[test]
fn a_node_that_was_shut_down_is_no_memory_kill() {
    let mut app = App::new("store").status(json!({"phase": "Failed", "reason": "Terminated",
        "message": "Pod was terminated in response to imminent node shutdown.",
        "containerStatuses": [{"name": "app", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": EARLIER}}}]}));
    app.ready = false;
    let case = app.alone();
    case.expect(APP, "NodeShutDown", "Deployment/store", &["node-a was shut down"]);
    case.never(APP, "OutOfMemory");
}

#[test]
fn a_readiness_gate_that_nobody_meets_is_named_and_one_that_is_met_is_not() {
    let gate = "target-health.example/store";
    let app = |status: &str| {
        let mut app = App::new("store")
            .spec(json!({"readinessGates": [{"conditionType": gate}]}))
            .condition(json!({"type": "ContainersReady", "status": "True", "lastTransitionTime": EARLIER}))
            .condition(json!({"type": gate, "status": status}));
        app.ready = status == "True";
        app.alone()
    };
    app("False").expect(APP, "ReadinessGateNotMet", "Deployment/store", &[gate]);
    app("True").healthy("Deployment", "store");
}

#[test]
fn what_a_program_lacks_around_it_is_more_than_a_general_phrase() {
    for (line, category) in [
        ("/scripts/start.sh: line 4: $'\\r': command not found", "LineEndings"),
        (
            "ERROR:  could not resize shared memory segment \"/PostgreSQL.284\" to 8388608 bytes: No space left on device",
            "SharedMemoryTooSmall",
        ),
        (
            "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)",
            "PrivilegedPort",
        ),
        (
            "open /var/run/secrets/kubernetes.io/serviceaccount/token: no such file or directory",
            "ServiceAccountTokenNotMounted",
        ),
        ("locale.Error: unsupported locale setting", "LocaleMissing"),
        ("panic: unknown time zone Europe/Atlantis", "TimeZoneMissing"),
        (
            "OpenBLAS blas_thread_init: pthread_create failed for thread 3 of 8: Resource temporarily unavailable",
            "ProcessLimitReached",
        ),
        (
            "Error: ENOSPC: System limit for number of file watchers reached, watch '/srv'",
            "FileWatchLimitReached",
        ),
        (
            "exec /docker-entrypoint.sh: no such file or directory",
            "ScriptInterpreterMissing",
        ),
        ("jwt: token used before issued", "ClockSkew"),
        ("/bin/sh: line 2: [: too many arguments", "UnquotedExpansion"),
    ] {
        let app = App::new("store").crashing(1, "Error", "");
        let pod = app.pod();
        let case = app.alone().log(&pod, &format!("starting\n{line}\n"));
        case.expect(APP, category, "Deployment/store", &[]);
        for general in [
            "DiskFull",
            "PermissionDenied",
            "FileMissing",
            "CommandNotFound",
            "TooManyOpenFiles",
        ] {
            case.never(APP, general);
        }
        // A program that runs on has coped with it.
        let pod = App::new("store").pod();
        App::new("store")
            .alone()
            .log(&pod, &format!("{line}\nlistening\n"))
            .never(APP, category);
    }
}

#[test]
fn a_script_with_carriage_returns_is_found_in_its_config_map() {
    let app = App::new("store")
        .container(
            json!({"command": ["/scripts/start.sh"], "volumeMounts": [{"name": "scripts", "mountPath": "/scripts"}]}),
        )
        .spec(json!({"volumes": [{"name": "scripts", "configMap": {"name": "store-scripts", "defaultMode": 493}}]}))
        .crashing(127, "Error", "");
    let pod = app.pod();
    app.alone()
        .with(crate::case::config_map(
            "store-scripts",
            json!({"start.sh": "#!/bin/bash\r\nset -e\r\nexec store\r\n"}),
        ))
        .log(&pod, "/scripts/start.sh: line 2: $'\\r': command not found\n")
        .expect(APP, "LineEndings", "ConfigMap/store-scripts", &["key start.sh"]);
}

#[test]
fn a_hook_that_fails_at_the_start_is_a_cause_and_one_at_the_end_is_not() {
    let hook = json!({"lifecycle": {"postStart": {"exec": {"command": ["/bin/warm-up"]}}}});
    let app = App::new("store").container(hook).crashing(137, "Error", "");
    let pod = app.pod();
    app.alone()
        .warning("Pod", &pod, "FailedPostStartHook", "PostStartHook failed")
        .expect(APP, "HookFails", "Deployment/store", &["/bin/warm-up"]);
    let app = App::new("store")
        .container(
            json!({"livenessProbe": {"httpGet": {"path": "/", "port": 9000}}, "ports": [{"containerPort": 8080}]}),
        )
        .crashing(137, "Error", "");
    let pod = app.pod();
    app.alone()
        .warning("Pod", &pod, "FailedPreStopHook", "PreStopHook failed")
        .warning(
            "Pod",
            &pod,
            "Unhealthy",
            "Liveness probe failed: Get \"http://10.0.0.4:9000/\": dial tcp 10.0.0.4:9000: connect: connection refused",
        )
        .expect(APP, "WrongProbePort", "Deployment/store", &["9000"]);
}

#[test]
fn a_pod_without_scheduler_or_node_says_which() {
    let unseen = App::new("store")
        .spec(json!({"schedulerName": "batch-scheduler"}))
        .unseen()
        .alone();
    unseen.expect(APP, "SchedulerMissing", "Deployment/store", &["batch-scheduler"]);
    // A scheduler of that name has spoken of it.
    let seen = App::new("store")
        .spec(json!({"schedulerName": "batch-scheduler"}))
        .unscheduled("0/1 nodes are available: 1 Insufficient cpu.")
        .alone();
    seen.never(APP, "SchedulerMissing");

    let gated = App::new("store")
        .spec(json!({"schedulingGates": [{"name": "example.com/quota-check"}]}))
        .unscheduled("Scheduling is blocked due to non-empty scheduling gates")
        .alone();
    gated.expect(APP, "SchedulingGated", "Deployment/store", &["example.com/quota-check"]);

    let mut lost = App::new("store").spec(json!({"nodeName": "node-9"})).waiting("", "");
    lost.statuses = json!([]);
    lost.alone().cluster(node("node-1", json!({}))).expect(
        APP,
        "NodeMissing",
        "Deployment/store",
        &["node-9", "does not exist"],
    );
}

#[test]
fn pods_that_made_room_for_others_are_called_preempted_and_not_only_short_of_cpu() {
    App::new("store")
        .container(json!({"resources": {"requests": {"cpu": "2"}}}))
        .unscheduled("0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.")
        .alone()
        .cluster(node("node-a", json!({})))
        .event("Pod", "store-6d4b9-old42", "Normal", "Preempted", "Preempted by pod 0a4c2c9e-7d1e-4c58-9a63-5f1f1f1f1f1f on node node-a")
        .expect(APP, "Preempted", "Deployment/store", &["higher priority"]);
}
