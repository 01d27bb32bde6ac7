//! Claims, volumes, mounts.

use serde_json::{Value, json};

use crate::case::{App, Case, claim, volume};

const APP: (&str, &str) = ("Deployment", "store");

fn pending(class: Value) -> Case {
    App::new("store")
        .spec(json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "store-data"}}]}))
        .unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.")
        .alone()
        .with(claim("store-data", class))
}

fn storage_class(name: &str) -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}, "provisioner": "ebs.csi.aws.com"})
}

#[test]
fn a_claim_that_is_not_bound_is_put_beside_the_volumes_that_are_there() {
    let manual = json!({"spec": {"storageClassName": "manual"}});
    for (offer, category, words) in [
        (
            json!({"spec": {"accessModes": ["ReadOnlyMany"]}}),
            "AccessModeUnsupported",
            "ReadOnlyMany",
        ),
        (
            json!({"spec": {"capacity": {"storage": "5Gi"}}}),
            "ClaimTooLarge",
            "5Gi",
        ),
        (
            json!({"status": {"phase": "Released"}, "spec": {"claimRef": {"namespace": "market", "name": "older"}}}),
            "VolumeReleased",
            "Released",
        ),
    ] {
        pending(manual.clone()).cluster(volume("pv-1", offer)).expect(
            APP,
            category,
            "PersistentVolumeClaim/store-data",
            &[words],
        );
    }
    pending(json!({"spec": {"storageClassName": "manual", "volumeName": "pv-1"}}))
        .cluster(volume("pv-1", json!({"spec": {"storageClassName": "slow"}})))
        .expect(APP, "ClaimNotBound", "PersistentVolumeClaim/store-data", &["slow"]);
}

#[test]
fn what_the_provisioner_says_of_an_access_mode_is_the_cause() {
    pending(json!({"spec": {"storageClassName": "gp3", "accessModes": ["ReadWriteMany"]}}))
        .cluster(storage_class("gp3"))
        .warning(
            "PersistentVolumeClaim",
            "store-data",
            "ProvisioningFailed",
            "failed to provision volume with StorageClass \"gp3\": rpc error: code = InvalidArgument desc = Volume capabilities MULTI_NODE_MULTI_WRITER not supported. Only AccessModes[ReadWriteOnce] supported.",
        )
        .expect(APP, "AccessModeUnsupported", "PersistentVolumeClaim/store-data", &["ReadWriteMany"]);
}

#[test]
fn a_claim_without_class_where_no_default_is_stays_pending() {
    pending(json!({}))
        .event(
            "PersistentVolumeClaim",
            "store-data",
            "Normal",
            "FailedBinding",
            "no persistent volumes available for this claim and no storage class is set",
        )
        .expect(
            APP,
            "ClaimNotBound",
            "PersistentVolumeClaim/store-data",
            &["no storage class"],
        );
}

#[test]
fn a_provisioner_that_says_nothing_is_named_and_one_that_waits_for_the_pod_is_not() {
    let words = "Waiting for a volume to be created either by the external provisioner 'ebs.csi.aws.com' or manually by the system administrator.";
    pending(json!({"spec": {"storageClassName": "gp3"}}))
        .cluster(storage_class("gp3"))
        .event(
            "PersistentVolumeClaim",
            "store-data",
            "Normal",
            "ExternalProvisioning",
            words,
        )
        .expect(
            APP,
            "ProvisionerSilent",
            "PersistentVolumeClaim/store-data",
            &["ebs.csi.aws.com"],
        );
    App::new("store")
        .alone()
        .cluster(storage_class("gp3"))
        .with(claim("unused", json!({"spec": {"storageClassName": "gp3"}})))
        .event(
            "PersistentVolumeClaim",
            "unused",
            "Normal",
            "WaitForFirstConsumer",
            "waiting for first consumer to be created before binding",
        )
        .healthy("Deployment", "store");
}

#[test]
fn what_keeps_a_volume_from_being_mounted_is_told_apart() {
    for (reason, message, category) in [
        (
            "FailedAttachVolume",
            "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) store-6d4b9-old11",
            "VolumeAttachedElsewhere",
        ),
        (
            "FailedMount",
            "MountVolume.SetUp failed for volume \"logs\" : hostPath type check failed: /var/log/store is not a directory",
            "HostPathMissing",
        ),
        (
            "FailedMount",
            "MountVolume.MountDevice failed for volume \"pvc-1\" : kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name ebs.csi.aws.com not found in the list of registered CSI drivers",
            "CsiDriverMissing",
        ),
        (
            "FailedMount",
            "MountVolume.SetUp failed for volume \"nfs\" : mount failed: exit status 32 Output: mount.nfs: access denied by server while mounting 10.1.1.1:/export",
            "RemoteVolumeRefused",
        ),
        (
            "FailedMount",
            "MountVolume.MountDevice failed for volume \"pvc-1\" : rpc error: mount failed: exit status 32 Output: mount: wrong fs type, bad option, bad superblock on /dev/xvdba",
            "FileSystemDamaged",
        ),
        (
            "FailedMount",
            "MountVolume.SetUp failed for volume \"x\" : rpc error: code = Internal desc = boom",
            "VolumeDoesNotMount",
        ),
    ] {
        let app = App::new("store").waiting("ContainerCreating", "");
        let pod = app.pod();
        app.alone()
            .warning("Pod", &pod, reason, message)
            .warning(
                "Pod",
                &pod,
                "FailedMount",
                "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[]: timed out waiting for the condition",
            )
            .expect(APP, category, "Deployment/store", &[]);
    }
}

fn writes(container: Value, volume: Value, line: &str) -> Case {
    let app = App::new("store")
        .container(container)
        .spec(json!({"volumes": [volume]}))
        .crashing(1, "Error", "");
    let pod = app.pod();
    app.alone()
        .with(claim("store-data", json!({"status": {"phase": "Bound"}})))
        .log(&pod, &format!("starting\n{line}\n"))
}

#[test]
fn a_path_in_the_log_leads_to_the_volume_that_it_lies_on() {
    let mount = json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]});
    let data = json!({"name": "data", "persistentVolumeClaim": {"claimName": "store-data"}});
    let full = writes(
        mount.clone(),
        data.clone(),
        "write /data/wal/0001: no space left on device",
    );
    full.expect(APP, "VolumeFull", "PersistentVolumeClaim/store-data", &["/data"]);
    full.never(APP, "DiskFull");
    let elsewhere = writes(mount.clone(), data.clone(), "write /tmp/x: no space left on device");
    elsewhere.expect(APP, "DiskFull", "Deployment/store", &[]);

    writes(
        json!({"volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": true}]}),
        data.clone(),
        "open /data/lock: read-only file system",
    )
    .expect(APP, "MountReadOnly", "Deployment/store", &["readOnly", "/data"]);
    writes(
        json!({"volumeMounts": [{"name": "cfg", "mountPath": "/etc/store"}]}),
        json!({"name": "cfg", "configMap": {"name": "store-config"}}),
        "OSError: [Errno 30] Read-only file system: '/etc/store/app.lock'",
    )
    .expect(APP, "MountReadOnly", "Deployment/store", &["always mounted read-only"]);
    writes(mount.clone(), data.clone(), "open /data/lock: read-only file system").expect(
        APP,
        "VolumeTurnedReadOnly",
        "Deployment/store",
        &["/data"],
    );
    writes(
        json!({"securityContext": {"readOnlyRootFilesystem": true}}),
        data.clone(),
        "mkdir /var/cache/nginx: read-only file system",
    )
    .expect(APP, "RootFileSystemReadOnly", "Deployment/store", &["/var/cache/nginx"]);

    let user =
        json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}], "securityContext": {"runAsUser": 1000}});
    writes(
        user.clone(),
        data.clone(),
        "mkdir: cannot create directory '/data/db': Permission denied",
    )
    .expect(APP, "VolumeNotWritable", "Deployment/store", &["user 1000", "fsGroup"]);
    writes(user, data, "open /etc/shadow: permission denied").expect(APP, "PermissionDenied", "Deployment/store", &[]);
}

#[test]
fn a_volume_is_too_small_only_below_what_is_asked_and_anothers_only_where_it_is_meant() {
    let manual = || pending(json!({"spec": {"storageClassName": "manual"}}));
    // Exactly as large, or larger: it fits.
    for capacity in ["10Gi", "20Gi"] {
        manual()
            .cluster(volume("pv-1", json!({"spec": {"capacity": {"storage": capacity}}})))
            .never(APP, "ClaimTooLarge");
    }
    let named = || pending(json!({"spec": {"storageClassName": "manual", "volumeName": "pv-1"}}));
    let belongs = |namespace: &str, claim: &str, phase: &str| {
        volume(
            "pv-1",
            json!({"spec": {"claimRef": {"namespace": namespace, "name": claim}}, "status": {"phase": phase}}),
        )
    };
    for (namespace, claim, phase, anothers) in [
        ("market", "other", "Bound", true),
        ("elsewhere", "store-data", "Available", true),
        ("market", "other", "Available", true),
        ("market", "store-data", "Available", false),
    ] {
        let diagnosis = named()
            .cluster(belongs(namespace, claim, phase))
            .read("Deployment", "store");
        let found = diagnosis
            .findings
            .iter()
            .any(|finding| finding.summary.contains("belongs to another claim"));
        assert_eq!(
            found, anothers,
            "{namespace}/{claim} {phase}: {:#?}",
            diagnosis.findings
        );
    }
    // A volume of another that nobody named is none of this claim's.
    let diagnosis = manual()
        .cluster(belongs("market", "other", "Bound"))
        .read("Deployment", "store");
    assert!(
        diagnosis
            .findings
            .iter()
            .all(|finding| !finding.summary.contains("belongs to another claim"))
    );
}
