//! The Job of a sandbox pod: the one shape that admission admits. Pure; the operator creates what this builds.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, ConfigMapVolumeSource, Container, DownwardAPIProjection, DownwardAPIVolumeFile,
    EmptyDirVolumeSource, KeyToPath, ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec,
    ProjectedVolumeSource, ResourceRequirements, SeccompProfile, SecurityContext, ServiceAccountTokenProjection,
    Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::command::Lane;
use super::request;
use crate::api::Role;

/// Label with the lane, on which NetworkPolicies select.
pub const LANE_LABEL: &str = "firewatch.dev/lane";
/// Label with the incident's uid.
pub const UID_LABEL: &str = "firewatch.dev/incident-uid";
/// Annotation with `namespace/name` of the incident.
pub const INCIDENT_ANNOTATION: &str = "firewatch.dev/incident";
/// The runner, in its image.
pub const RUNNER: &str = "/usr/local/bin/sandbox-runner";
/// Where a pod finds its token, CA and namespace.
pub const TOKEN_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What a Job is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Run a request.
    Request {
        /// On whose behalf: decides the service account.
        role: Role,
        /// `Observe` or `Analyze`; the other lanes take no request.
        lane: RequestLane,
        /// ConfigMap with the request.
        request: String,
        /// Evidence ids and the ConfigMaps that hold their text under `output`.
        evidence: Vec<(String, String)>,
    },
    /// Carry out an approval, or its inverse. The pod is told which, and nothing else.
    Approval {
        /// The inverse.
        rollback: bool,
        /// Namespace of the approval.
        namespace: String,
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
}

/// The lanes that take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestLane {
    /// Read the cluster.
    Observe,
    /// Work on mounted evidence.
    Analyze,
}

/// Everything that a Job depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPlan {
    /// Name, deterministic.
    pub name: String,
    /// Sandbox namespace.
    pub namespace: String,
    /// Image, as admission pins it.
    pub image: String,
    /// uid of the incident.
    pub incident_uid: String,
    /// `namespace/name` of the incident.
    pub incident: String,
    /// What for.
    pub work: Work,
}

impl Work {
    /// The lane.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Request {
                lane: RequestLane::Observe,
                ..
            } => Lane::Observe,
            Self::Request {
                lane: RequestLane::Analyze,
                ..
            } => Lane::Analyze,
            Self::Approval { rollback: false, .. } => Lane::Remediate,
            Self::Approval { rollback: true, .. } => Lane::Rollback,
        }
    }

    fn service_account(&self) -> &'static str {
        match self {
            Self::Request {
                lane: RequestLane::Analyze,
                ..
            } => "analyze",
            Self::Request {
                role: Role::CodeAnalyst,
                ..
            } => "code-analyst",
            Self::Request { .. } => "sre-investigator",
            Self::Approval { .. } => "remediation-executor",
        }
    }

    /// The longest a pod may live, in seconds, its start included.
    fn deadline_seconds(&self) -> i64 {
        match self {
            Self::Request { .. } => 30,
            Self::Approval { .. } => 300,
        }
    }
}

/// Builds the Job.
pub fn build(plan: &JobPlan) -> Job {
    let lane = plan.work.lane();
    let labels = BTreeMap::from([
        (LANE_LABEL.to_owned(), lane.to_string()),
        (UID_LABEL.to_owned(), plan.incident_uid.clone()),
        ("app.kubernetes.io/name".to_owned(), "firewatch-sandbox".to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), "firewatch".to_owned()),
    ]);
    let annotations = BTreeMap::from([(INCIDENT_ANNOTATION.to_owned(), plan.incident.clone())]);
    Job {
        metadata: ObjectMeta {
            name: Some(plan.name.clone()),
            namespace: Some(plan.namespace.clone()),
            labels: Some(labels.clone()),
            annotations: Some(annotations.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            // Never a second try: what may have acted once must not act twice.
            backoff_limit: Some(0),
            completions: Some(1),
            parallelism: Some(1),
            // A collected Job is deleted by the operator; this is for what it forgot.
            ttl_seconds_after_finished: Some(3600),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(plan)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// Runs the Job's pod under a seccomp profile that is installed on every node (`config/seccomp`), in place of the runtime's own.
pub fn use_profile(job: &mut Job, profile: &str) {
    let Some(pod) = job.spec.as_mut().and_then(|spec| spec.template.spec.as_mut()) else {
        return;
    };
    let own = Some(SeccompProfile {
        type_: "Localhost".to_owned(),
        localhost_profile: Some(profile.to_owned()),
    });
    if let Some(context) = &mut pod.security_context {
        context.seccomp_profile.clone_from(&own);
    }
    for context in pod.containers.iter_mut().filter_map(|c| c.security_context.as_mut()) {
        context.seccomp_profile.clone_from(&own);
    }
}

fn pod(plan: &JobPlan) -> PodSpec {
    let (volumes, mounts) = volumes(&plan.work);
    PodSpec {
        service_account_name: Some(plan.work.service_account().to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        restart_policy: Some("Never".to_owned()),
        active_deadline_seconds: Some(plan.work.deadline_seconds()),
        termination_grace_period_seconds: Some(1),
        // Below every workload and never pushing one out; the class comes with the chart.
        priority_class_name: Some("firewatch-sandbox".to_owned()),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(1000),
            run_as_group: Some(1000),
            fs_group: Some(1000),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![Container {
            name: "runner".to_owned(),
            image: Some(plan.image.clone()),
            image_pull_policy: Some("IfNotPresent".to_owned()),
            command: Some(vec![RUNNER.to_owned()]),
            args: Some(args(&plan.work)),
            resources: Some(ResourceRequirements {
                limits: Some(BTreeMap::from([quantity("cpu", "500m"), quantity("memory", "512Mi")])),
                // Little is asked for, so that an investigation of a full node can still be scheduled.
                requests: Some(BTreeMap::from([quantity("cpu", "20m"), quantity("memory", "64Mi")])),
                ..ResourceRequirements::default()
            }),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                read_only_root_filesystem: Some(true),
                run_as_non_root: Some(true),
                run_as_user: Some(1000),
                capabilities: Some(Capabilities {
                    drop: Some(vec!["ALL".to_owned()]),
                    add: None,
                }),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    localhost_profile: None,
                }),
                ..SecurityContext::default()
            }),
            volume_mounts: Some(mounts),
            ..Container::default()
        }],
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn quantity(name: &str, value: &str) -> (String, Quantity) {
    (name.to_owned(), Quantity(value.to_owned()))
}

fn args(work: &Work) -> Vec<String> {
    let lane = work.lane().to_string();
    match work {
        Work::Request { .. } => vec![lane],
        Work::Approval {
            namespace, name, uid, ..
        } => vec![lane, namespace.clone(), name.clone(), uid.clone()],
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    }
}

fn volumes(work: &Work) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mut volumes = vec![Volume {
        name: "tmp".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity("100Mi".to_owned())),
        }),
        ..Volume::default()
    }];
    let mut mounts = vec![mount("tmp", "/tmp", false)];
    if let Work::Request { request, evidence, .. } = work {
        volumes.push(config_map("request", request, request::KEY));
        mounts.push(mount("request", "/request", true));
        for (id, config_map_name) in evidence {
            let volume = format!("evidence-{}", id.to_lowercase());
            volumes.push(config_map(&volume, config_map_name, "output"));
            mounts.push(mount(&volume, &format!("/evidence/{}", id.to_lowercase()), true));
        }
    }
    if work.lane() != Lane::Analyze {
        volumes.push(token());
        mounts.push(mount("token", TOKEN_DIR, true));
    }
    (volumes, mounts)
}

fn config_map(volume: &str, name: &str, key: &str) -> Volume {
    Volume {
        name: volume.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: name.to_owned(),
            items: Some(vec![KeyToPath {
                key: key.to_owned(),
                path: key.to_owned(),
                mode: None,
            }]),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// Token of ten minutes, CA and namespace: mounted explicitly, never automounted.
fn token() -> Volume {
    let sources = vec![
        VolumeProjection {
            service_account_token: Some(ServiceAccountTokenProjection {
                path: "token".to_owned(),
                expiration_seconds: Some(600),
                audience: None,
            }),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            config_map: Some(ConfigMapProjection {
                name: "kube-root-ca.crt".to_owned(),
                items: Some(vec![KeyToPath {
                    key: "ca.crt".to_owned(),
                    path: "ca.crt".to_owned(),
                    mode: None,
                }]),
                ..ConfigMapProjection::default()
            }),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            downward_api: Some(DownwardAPIProjection {
                items: Some(vec![DownwardAPIVolumeFile {
                    path: "namespace".to_owned(),
                    field_ref: Some(ObjectFieldSelector {
                        field_path: "metadata.namespace".to_owned(),
                        api_version: None,
                    }),
                    ..DownwardAPIVolumeFile::default()
                }]),
            }),
            ..VolumeProjection::default()
        },
    ];
    Volume {
        name: "token".to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources),
            default_mode: None,
        }),
        ..Volume::default()
    }
}
