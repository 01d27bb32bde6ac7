//! Whole incidents as they are met: a fault among healthy neighbours and ordinary noise, asked about at the object that people see.

use firewatch_core::diagnosis::Remedy;
use serde_json::{Value, json};

use crate::case::{App, Case, claim, config_map, node, running, service, volume};

/// Healthy neighbours, and the noise of an ordinary day.
fn town() -> Case {
    let case = App::new("mail")
        .container(json!({"ports": [{"containerPort": 2525}]}))
        .add(Case::default());
    let case = App::new("search")
        .container(json!({"ports": [{"containerPort": 9200}]}))
        .add(case);
    case.with(service(
        "mail",
        json!({"app": "mail"}),
        json!({"port": 25, "targetPort": 2525}),
    ))
    .with(service("search", json!({"app": "search"}), json!({"port": 9200})))
    .with(config_map("search-config", json!({"HEAP": "512m"})))
    .cluster(node(
        "node-a",
        json!({"metadata": {"labels": {"zone": "north", "disk": "nvme"}}}),
    ))
    .cluster(node(
        "node-b",
        json!({"metadata": {"labels": {"zone": "south", "disk": "nvme"}}}),
    ))
    .event(
        "Pod",
        "mail-6d4b9-x7k2p",
        "Normal",
        "Pulled",
        "Container image \"registry.example/store/app:1.4\" already present on machine",
    )
    .warning(
        "Pod",
        "search-6d4b9-x7k2p",
        "Unhealthy",
        "Readiness probe failed: HTTP probe failed with statuscode: 503",
    )
    .log(
        "mail-6d4b9-x7k2p",
        "INFO queue=0 error_rate=0\nINFO ErrorHandler registered\n",
    )
}

fn add(app: App) -> Case {
    app.add(town())
}

fn calling(line: &str) -> Case {
    let app = App::new("checkout").unready();
    let pod = app.pod();
    add(app).log(&pod, &format!("{line}\n").repeat(5))
}

const CHECKOUT: (&str, &str) = ("Deployment", "checkout");

#[test]
fn a_probe_on_a_wrong_path_port_or_protocol() {
    let probed = |probe: Value, message: &str, log: &str| {
        let app = App::new("checkout")
            .container(json!({"ports": [{"name": "http", "containerPort": 8080}], "readinessProbe": probe}))
            .unready();
        let pod = app.pod();
        add(app).warning("Pod", &pod, "Unhealthy", message).log(&pod, log)
    };
    let get = |port: Value, path: &str| json!({"httpGet": {"path": path, "port": port}});
    for (probe, message, log, category) in [
        (
            get(json!(8080), "/healthz"),
            "Readiness probe failed: HTTP probe failed with statuscode: 404",
            "listening on :8080",
            "WrongProbePath",
        ),
        (
            get(json!(8081), "/"),
            "Readiness probe failed: Get \"http://10.244.0.9:8081/\": dial tcp 10.244.0.9:8081: connect: connection refused",
            "listening on :8080",
            "WrongProbePort",
        ),
        (
            get(json!("web"), "/"),
            "Readiness probe errored and resulted in unknown state: strconv.Atoi: parsing \"web\": invalid syntax",
            "listening on :8080",
            "WrongProbePort",
        ),
        (
            get(json!(8080), "/"),
            "Readiness probe failed: Get \"https://10.244.0.9:8080/\": http: server gave HTTP response to HTTPS client",
            "listening on :8080",
            "WrongProbeProtocol",
        ),
        (
            get(json!(8080), "/"),
            "Readiness probe failed: HTTP probe failed with statuscode: 400",
            "http: TLS handshake error from 10.244.0.1:3311: client sent an HTTP request to an HTTPS server",
            "WrongProbeProtocol",
        ),
        (
            get(json!(8080), "/"),
            "Readiness probe failed: HTTP probe failed with statuscode: 401",
            "listening on :8080",
            "ProbeUnauthorized",
        ),
    ] {
        probed(probe, message, log).expect(CHECKOUT, category, "Deployment/checkout", &["readiness probe"]);
    }
    // The program says itself that it is ill: the probe is right.
    let ill = probed(
        get(json!(8080), "/"),
        "Readiness probe failed: HTTP probe failed with statuscode: 503",
        "listening on :8080",
    );
    assert!(ill.read("Deployment", "checkout").root_cause.is_none());
}

#[test]
fn a_service_whose_selector_port_or_name_is_wrong() {
    let web = || App::new("checkout").container(json!({"ports": [{"name": "http", "containerPort": 8080}]}));
    let target = ("Service", "checkout");
    add(web())
        .with(service(
            "checkout",
            json!({"app": "chekout"}),
            json!({"port": 80, "targetPort": 8080}),
        ))
        .expect(target, "ServiceSelectsNothing", "Service/checkout", &["app=chekout"]);
    add(web())
        .with(service(
            "checkout",
            json!({"app": "checkout"}),
            json!({"port": 80, "targetPort": 80}),
        ))
        .expect(target, "ServiceWrongPort", "Service/checkout", &["8080"]);
    add(web())
        .with(service(
            "checkout",
            json!({"app": "checkout"}),
            json!({"port": 80, "targetPort": "web"}),
        ))
        .expect(CHECKOUT, "ServiceWrongPort", "Service/checkout", &["web"]);
    add(web())
        .with(service(
            "checkout",
            json!({"app": "checkout"}),
            json!({"port": 80, "targetPort": "http"}),
        ))
        .healthy("Service", "checkout");
}

#[test]
fn a_caller_suffers_and_the_cause_is_elsewhere() {
    calling("ERROR Post \"http://serch:9200/q\": dial tcp: lookup serch on 10.96.0.10:53: no such host").expect(
        CHECKOUT,
        "WrongHostname",
        "Deployment/checkout",
        &["serch", "search exists"],
    );
    calling("ERROR connect to search:9300: connection refused").expect(
        CHECKOUT,
        "WrongPort",
        "Deployment/checkout",
        &["9300", "9200"],
    );
    let mut resting = App::new("ledger").replicas(0).without_pods();
    resting.ready = false;
    resting
        .add(calling("ERROR connect to ledger:7000: connection refused"))
        .with(service("ledger", json!({"app": "ledger"}), json!({"port": 7000})))
        .expect(CHECKOUT, "ScaledToZero", "Deployment/ledger", &["0 replicas"]);
    let case = calling("ERROR connect to ledger:7000: connection refused");
    let broken = App::new("ledger").crashing(1, "Error", "");
    let pod = broken.pod();
    broken
        .add(case)
        .with(service("ledger", json!({"app": "ledger"}), json!({"port": 7000})))
        .log(&pod, "FATAL LEDGER_REGION must be set\n")
        .expect(
            CHECKOUT,
            "MissingEnvironmentVariable",
            "Deployment/ledger",
            &["LEDGER_REGION"],
        );
    let full = App::new("ledger").unscheduled("0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.");
    full.add(calling("ERROR connect to ledger:7000: connection refused"))
        .with(service("ledger", json!({"app": "ledger"}), json!({"port": 7000})))
        .expect(
            CHECKOUT,
            "InsufficientResources",
            "Deployment/ledger",
            &["insufficient memory"],
        );
}

#[test]
fn an_init_container_waits_for_what_is_not_there() {
    let init = |command: &str| {
        let mut app = App::new("checkout")
            .spec(json!({"initContainers": [{"name": "wait", "image": "busybox", "command": ["sh", "-c", command]}]}));
        app.ready = false;
        app.phase = "Pending";
        app.statuses = json!([{"name": "app", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "PodInitializing"}}}]);
        app.pod_status = json!({"initContainerStatuses": [running("wait")]});
        add(app)
    };
    init("until nslookup ledger; do sleep 2; done").expect(
        CHECKOUT,
        "InitContainerWaits",
        "Deployment/checkout",
        &["ledger", "does not exist"],
    );
    let case = init("until nc -z search 9200; do sleep 2; done");
    assert_ne!(
        case.read("Deployment", "checkout")
            .root_cause
            .map(|root| root.finding.category)
            .as_deref(),
        Some("WrongHostname")
    );
}

#[test]
fn a_program_that_hangs_is_told_from_one_without_work() {
    let lines = |until: &str| -> String {
        let line = |second: i32| format!("2026-05-04T09:{until}:{:02}Z INFO handled order {second}", second * 2);
        (0..30).map(line).collect::<Vec<_>>().join("\n")
    };
    let case = |log: String, caller: &str| {
        let case = calling(caller);
        App::new("ledger")
            .add(case)
            .with(service("ledger", json!({"app": "ledger"}), json!({"port": 7000})))
            .log("ledger-6d4b9-x7k2p", &log)
    };
    let waits = "ERROR GET http://ledger:7000/book: Read timed out";
    case(lines("40"), waits).expect(CHECKOUT, "Hangs", "Deployment/ledger", &["silent"]);
    case(lines("59"), waits).never(CHECKOUT, "Hangs");
    case("starting\n".to_owned(), waits).never(CHECKOUT, "Hangs");
    case(lines("40"), "INFO all is well").never(CHECKOUT, "Hangs");
}

#[test]
fn rights_that_are_bound_to_another_name() {
    let line = "configmaps is forbidden: User \"system:serviceaccount:market:default\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"market\"";
    let binding = |subject: &str, space: &str, role: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "checkout-reads", "namespace": "market"},
            "subjects": [{"kind": "ServiceAccount", "name": subject, "namespace": space}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}})
    };
    for (binding, words) in [
        (
            binding("checkout", "market", "reader"),
            "binds ServiceAccount checkout and not default",
        ),
        (binding("default", "shop", "reader"), "in namespace shop"),
        (
            binding("default", "market", "reeder"),
            "Role reeder, which does not exist",
        ),
    ] {
        let app = App::new("checkout").crashing(1, "Error", "");
        let pod = app.pod();
        add(app)
            .with(binding)
            .with(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader", "namespace": "market"}, "rules": []}))
            .log(&pod, &format!("{line}\n").repeat(2))
            .expect(CHECKOUT, "RbacForbidden", "RoleBinding/checkout-reads", &[words]);
    }
}

#[test]
fn a_right_that_another_account_has_is_named_at_its_binding() {
    let line = "E0504 10:00:00.000000 1 leaderelection.go:330] error retrieving resource lock market/checkout in the namespace of its own: leases.coordination.k8s.io \"checkout\" is forbidden: User \"system:serviceaccount:market:default\" cannot get resource \"leases\" in API group \"coordination.k8s.io\" in the namespace \"market\"";
    let case = |group: &str| {
        let app = App::new("checkout").crashing(1, "Error", "");
        let pod = app.pod();
        add(app)
            .with(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "leader", "namespace": "market"},
                "rules": [{"apiGroups": [group], "resources": ["leases"], "verbs": ["get", "create"]}]}))
            .with(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "leader", "namespace": "market"},
                "subjects": [{"kind": "ServiceAccount", "name": "elector", "namespace": "market"}],
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "leader"}}))
            .log(&pod, &format!("{line}\n").repeat(2))
    };
    case("coordination.k8s.io").expect(
        CHECKOUT,
        "RbacForbidden",
        "RoleBinding/leader",
        &["Role leader, which allows it, to ServiceAccount elector and not default"],
    );
    let cause = case("batch").cause("Deployment", "checkout");
    assert!(!cause.summary.contains("which allows it"), "{}", cause.summary);
}

#[test]
fn a_probe_that_gives_up_before_a_steady_answer_gets_the_time_that_the_answer_takes() {
    let case = |answers: &[&str]| {
        let app = App::new("checkout")
            .container(json!({"livenessProbe": {"httpGet": {"path": "/live", "port": 8080}, "timeoutSeconds": 1}}))
            .crashing(137, "Error", "");
        let pod = app.pod();
        let log: Vec<String> = answers
            .iter()
            .map(|took| format!("INFO GET /live 200 {took}"))
            .collect();
        add(app)
            .warning("Pod", &pod, "Unhealthy", "Liveness probe failed: Get \"http://10.244.0.9:8080/live\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
            .event("Pod", &pod, "Normal", "Killing", "Container app failed liveness probe, will be restarted")
            .log(&pod, &format!("INFO listening on :8080\n{}\n", log.join("\n")))
            .cause("Deployment", "checkout")
    };
    let timeout = |cause: &firewatch_core::diagnosis::Finding| {
        assert_eq!(cause.category, "ProbeTooStrict");
        let ways = cause.remedy.as_ref().unwrap().ways();
        ways.into_iter().find_map(|way| match way {
            Remedy::ProbeField { field, from, to, .. } if field == "timeoutSeconds" && from == "1" => {
                to.as_ref().map(|to| to.value.clone())
            }
            _ => None,
        })
    };
    assert_eq!(timeout(&case(&["1400 ms", "1600 ms"])).as_deref(), Some("4"));
    // In time, of one alone, ever slower, or slower than any probe should wait: nothing says which time-out is right.
    for answers in [
        &["400 ms", "1600 ms"][..],
        &["1400 ms"],
        &["1400 ms", "2900 ms"],
        &["11000 ms", "12000 ms"],
    ] {
        assert_eq!(timeout(&case(answers)), None, "{answers:?}");
    }
}

#[test]
fn what_cannot_be_scheduled_is_named_at_the_workload() {
    let message = |clause: &str| {
        format!(
            "0/2 nodes are available: {clause}. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        )
    };
    add(App::new("checkout")
        .spec(json!({"nodeSelector": {"disk": "ssd"}}))
        .unscheduled(&message("2 node(s) didn't match Pod's node affinity/selector")))
    .expect(
        CHECKOUT,
        "NodeSelectorMatchesNothing",
        "Deployment/checkout",
        &["disk=ssd", "nodes have disk=nvme"],
    );
    add(App::new("checkout")
        .container(json!({"resources": {"requests": {"cpu": "64"}}}))
        .unscheduled(&message("2 Insufficient cpu")))
    .expect(
        CHECKOUT,
        "InsufficientResources",
        "Deployment/checkout",
        &["64 cpu", "more than any node has"],
    );
    add(App::new("checkout").unscheduled(&message(
        "1 node(s) had untolerated taint {gpu: true}, 1 node(s) were unschedulable",
    )))
    .read("Deployment", "checkout")
    .root_cause
    .unwrap();
}

#[test]
fn a_claim_of_a_class_that_is_not_there_or_of_a_size_that_is_not_there() {
    let app = || {
        App::new("checkout")
            .spec(json!({"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "carts"}}]}))
            .unscheduled("0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.")
    };
    add(app())
        .with(claim("carts", json!({"spec": {"storageClassName": "fasst"}})))
        .cluster(json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"}, "provisioner": "p"}))
        .warning("PersistentVolumeClaim", "carts", "ProvisioningFailed", "storageclass.storage.k8s.io \"fasst\" not found")
        .expect(CHECKOUT, "StorageClassMissing", "PersistentVolumeClaim/carts", &["fasst", "fast exists"]);
    add(app())
        .with(claim(
            "carts",
            json!({"spec": {"storageClassName": "manual", "resources": {"requests": {"storage": "500Gi"}}}}),
        ))
        .cluster(volume("pv-7", json!({"spec": {"capacity": {"storage": "50Gi"}}})))
        .expect(
            CHECKOUT,
            "ClaimTooLarge",
            "PersistentVolumeClaim/carts",
            &["500Gi", "50Gi"],
        );
    add(App::new("checkout").spec(json!({"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "cart"}}]})).unscheduled("0/2 nodes are available: persistentvolumeclaim \"cart\" not found. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."))
        .with(claim("carts", json!({"status": {"phase": "Bound"}})))
        .expect(CHECKOUT, "MissingClaim", "Deployment/checkout", &["cart", "carts exists"]);
}

#[test]
fn references_that_are_misspelt() {
    let waits = |env: Value, reason: &str, message: &str| {
        let app = App::new("checkout").container(env).waiting(reason, message);
        let pod = app.pod();
        add(app).warning("Pod", &pod, "Failed", &format!("Error: {message}"))
    };
    let reason = "CreateContainerConfigError";
    waits(
        json!({"envFrom": [{"configMapRef": {"name": "serch-config"}}]}),
        reason,
        "configmap \"serch-config\" not found",
    )
    .expect(
        CHECKOUT,
        "MissingConfigMap",
        "Deployment/checkout",
        &["serch-config", "search-config exists"],
    );
    waits(
        json!({"env": [{"name": "HEAP", "valueFrom": {"configMapKeyRef": {"name": "search-config", "key": "heap"}}}]}),
        reason,
        "couldn't find key heap in ConfigMap market/search-config",
    )
    .expect(CHECKOUT, "MissingConfigMapKey", "ConfigMap/search-config", &["heap"]);
    waits(
        json!({"envFrom": [{"secretRef": {"name": "pay-keys"}}]}),
        reason,
        "secret \"pay-keys\" not found",
    )
    .expect(CHECKOUT, "MissingSecret", "Deployment/checkout", &["pay-keys"]);
}

#[test]
fn an_exit_code_alone_names_no_memory() {
    let app = App::new("checkout")
        .container(json!({"livenessProbe": {"httpGet": {"path": "/live", "port": 8080}, "timeoutSeconds": 1}}))
        .crashing(137, "Error", "");
    let pod = app.pod();
    let case = add(app)
        .warning("Pod", &pod, "Unhealthy", "Liveness probe failed: Get \"http://10.244.0.9:8080/live\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
        .event("Pod", &pod, "Normal", "Killing", "Container app failed liveness probe, will be restarted");
    case.never(CHECKOUT, "OutOfMemory");
    add(App::new("checkout")
        .container(json!({"resources": {"limits": {"memory": "64Mi"}}}))
        .crashing(137, "OOMKilled", ""))
    .expect(CHECKOUT, "OutOfMemory", "Deployment/checkout", &["64Mi"]);
}

#[test]
fn neighbours_stay_out_of_a_healthy_targets_report() {
    let case = add(App::new("checkout"));
    case.healthy("Deployment", "checkout");
    case.healthy("Deployment", "mail");
    case.healthy("Service", "search");
}

#[test]
fn a_check_that_fails_because_the_program_is_ill_is_a_symptom() {
    let case = |log: &str| {
        let app = App::new("checkout")
            .container(json!({"readinessProbe": {"exec": {"command": ["test", "-f", "/tmp/ready"]}}}))
            .unready();
        let pod = app.pod();
        add(app)
            .warning("Pod", &pod, "Unhealthy", "Readiness probe failed: ")
            .log(&pod, log)
    };
    case("INFO serving\n").expect(
        CHECKOUT,
        "ProbeNeverSucceeds",
        "Deployment/checkout",
        &["test -f /tmp/ready"],
    );
    case(&"ERROR order 7 failed: KeyError: 'FR'\n".repeat(6)).never(CHECKOUT, "ProbeNeverSucceeds");
}

#[test]
fn a_refused_bind_in_a_stack_trace_is_about_the_port() {
    let trace = |call: &str| {
        format!(
            "Traceback (most recent call last):\n  File \"/app/main.py\", line 9, in <module>\n    {call}\nPermissionError: [Errno 13] Permission denied\n"
        )
    };
    let case = |call: &str| {
        let app = App::new("checkout")
            .container(json!({"ports": [{"containerPort": 80}]}))
            .crashing(1, "Error", "");
        let pod = app.pod();
        add(app).log(&pod, &trace(call))
    };
    case("self.socket.bind(self.server_address)").expect(
        CHECKOUT,
        "PrivilegedPort",
        "Deployment/checkout",
        &["below 1024", "port 80"],
    );
    case("open('/data/state')").never(CHECKOUT, "PrivilegedPort");
}

#[test]
fn a_probe_that_cannot_even_be_asked_is_told_though_nothing_restarts() {
    let case = |message: &str| {
        let app = App::new("checkout").container(json!({"livenessProbe": {"exec": {"command": ["/bin/probe-it"]}}}));
        let pod = app.pod();
        add(app).warning("Pod", &pod, "Unhealthy", message)
    };
    case("Liveness probe errored and resulted in unknown state: rpc error: failed to exec in container: exec: \"/bin/probe-it\": no such file or directory").expect(
        CHECKOUT,
        "ProbeNeverSucceeds",
        "Deployment/checkout",
        &["/bin/probe-it", "is not in the image"],
    );
    // It failed while the program started, and holds since.
    case("Liveness probe failed: not yet").healthy("Deployment", "checkout");
}

#[test]
fn the_last_words_of_a_program_that_ends_are_why_it_ended() {
    let case = |log: &str| {
        let app = App::new("checkout").crashing(1, "Error", "");
        let pod = app.pod();
        add(app).log(&pod, log)
    };
    case("INFO loading the key\nFATAL: cannot read the private key: PEM header not found\n").expect(
        CHECKOUT,
        "EndsWithError",
        "Deployment/checkout",
        &["PEM header not found"],
    );
    let more = "INFO flushed\nINFO closed\nINFO bye\nINFO exit\n";
    let read = case(&format!("ERROR one order was odd\n{more}")).read("Deployment", "checkout");
    assert!(read.root_cause.is_none(), "{:?}", read.root_cause);
}

#[test]
fn a_failing_call_leads_on_to_what_was_called_and_why_that_ended() {
    let app = App::new("checkout").unready();
    let pod = app.pod();
    let ledger = App::new("ledger").crashing(1, "Error", "");
    let ledger_pod = ledger.pod();
    ledger
        .add(add(app))
        .with(service("ledger", json!({"app": "ledger"}), json!({"port": 7000})))
        .log(
            &pod,
            &"ERROR cannot book: ledger:7000: [Errno 111] Connection refused\n".repeat(40),
        )
        .log(&ledger_pod, "INFO starting\nFATAL: data files are of version 15\n")
        .expect(CHECKOUT, "EndsWithError", "Deployment/ledger", &["version 15"]);
}
