//! PodSecurity *restricted*, complete, as a function: every pod that this project builds is checked against it by a property test.
//! After `k8s.io/pod-security-admission`. Pure; never changes what it checks.

use k8s_openapi::api::core::v1::{Container, PodSecurityContext, PodSpec, SecurityContext, Volume};

/// What in this pod the restricted standard forbids, in words; empty where nothing is.
pub fn violations(pod: &PodSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut deny = |broken: bool, what: &str| {
        if broken {
            found.push(what.to_owned());
        }
    };
    deny(pod.host_network == Some(true), "hostNetwork");
    deny(pod.host_pid == Some(true), "hostPID");
    deny(pod.host_ipc == Some(true), "hostIPC");
    let context = pod.security_context.clone().unwrap_or_default();
    deny(
        context.windows_options.as_ref().and_then(|w| w.host_process) == Some(true),
        "hostProcess",
    );
    deny(context.run_as_user == Some(0), "runAsUser 0");
    for sysctl in context.sysctls.iter().flatten() {
        deny(!SAFE_SYSCTLS.contains(&sysctl.name.as_str()), "an unsafe sysctl");
    }
    deny(selinux_is_odd(context.se_linux_options.as_ref()), "SELinux options");
    for volume in pod.volumes.iter().flatten() {
        deny(!is_allowed(volume), "a volume type");
    }
    let ephemeral = pod.ephemeral_containers.iter().flatten().count();
    deny(ephemeral > 0, "an ephemeral container");
    for container in pod.init_containers.iter().flatten().chain(&pod.containers) {
        found.extend(of_container(container, &context));
    }
    found
}

const SAFE_SYSCTLS: [&str; 9] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
];

fn selinux_is_odd(options: Option<&k8s_openapi::api::core::v1::SELinuxOptions>) -> bool {
    options.is_some_and(|o| {
        o.user.is_some()
            || o.role.is_some()
            || o.type_
                .as_deref()
                .is_some_and(|t| !matches!(t, "" | "container_t" | "container_init_t" | "container_kvm_t"))
    })
}

fn is_allowed(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some()
        || volume.csi.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.ephemeral.is_some()
        || volume.image.is_some()
}

fn of_container(container: &Container, pod: &PodSecurityContext) -> Vec<String> {
    let own: SecurityContext = container.security_context.clone().unwrap_or_default();
    let mut found = Vec::new();
    let mut deny = |broken: bool, what: &str| {
        if broken {
            found.push(format!("container {}: {what}", container.name));
        }
    };
    deny(own.privileged == Some(true), "privileged");
    deny(
        own.allow_privilege_escalation != Some(false),
        "allowPrivilegeEscalation is not false",
    );
    deny(
        !own.run_as_non_root.or(pod.run_as_non_root).unwrap_or(false),
        "runAsNonRoot is not true",
    );
    deny(own.run_as_user.or(pod.run_as_user) == Some(0), "runAsUser 0");
    deny(own.proc_mount.as_deref().is_some_and(|p| p != "Default"), "procMount");
    deny(selinux_is_odd(own.se_linux_options.as_ref()), "SELinux options");
    let profile = own.seccomp_profile.as_ref().or(pod.seccomp_profile.as_ref());
    deny(
        !profile.is_some_and(|p| matches!(p.type_.as_str(), "RuntimeDefault" | "Localhost")),
        "seccompProfile",
    );
    let capabilities = own.capabilities.unwrap_or_default();
    deny(
        !capabilities.drop.iter().flatten().any(|c| c == "ALL"),
        "capabilities are not dropped",
    );
    deny(
        capabilities.add.iter().flatten().any(|c| c != "NET_BIND_SERVICE"),
        "capabilities are added",
    );
    deny(
        container.ports.iter().flatten().any(|p| p.host_port.unwrap_or(0) != 0),
        "hostPort",
    );
    let probes = [
        &container.liveness_probe,
        &container.readiness_probe,
        &container.startup_probe,
    ];
    let hosted = probes.into_iter().flatten().any(|p| {
        p.http_get.as_ref().is_some_and(|h| h.host.is_some()) || p.tcp_socket.as_ref().is_some_and(|t| t.host.is_some())
    });
    deny(hosted, "a probe with a host");
    found
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::semicolon_if_nothing_returned
    )]
    use proptest::prelude::*;

    use super::*;
    use crate::api::Role;
    use crate::sandbox::job::{JobPlan, RequestLane, Work, build, use_profile};

    fn name() -> impl Strategy<Value = String> {
        "[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?"
    }

    fn work() -> impl Strategy<Value = Work> {
        let role = prop_oneof![Just(Role::SreInvestigator), Just(Role::CodeAnalyst)];
        let lane = prop_oneof![Just(RequestLane::Observe), Just(RequestLane::Analyze)];
        let evidence = prop::collection::vec(((1_u32..999).prop_map(|n| format!("E{n}")), name()), 0..4);
        prop_oneof![
            (role, lane, name(), evidence).prop_map(|(role, lane, request, evidence)| Work::Request {
                role,
                lane,
                request,
                evidence
            }),
            (any::<bool>(), name(), name(), name()).prop_map(|(rollback, namespace, name, uid)| Work::Approval {
                rollback,
                namespace,
                name,
                uid
            }),
        ]
    }

    proptest! {
        #[test]
        fn every_pod_that_is_built_is_restricted(
            work in work(), name in name(), image in name(), profile in prop::option::of(name()),
        ) {
            let plan = JobPlan {
                name, namespace: "s".into(), image, incident_uid: "u".into(), incident: "n/i".into(), work: work.clone(),
            };
            let mut job = build(&plan);
            if let Some(profile) = &profile {
                use_profile(&mut job, profile);
            }
            let pod = job.spec.unwrap().template.spec.unwrap();
            let seccomp = pod.containers[0].security_context.clone().unwrap().seccomp_profile.unwrap();
            prop_assert_eq!(seccomp.localhost_profile, profile);
            prop_assert_eq!(violations(&pod), Vec::<String>::new());
            prop_assert_eq!(pod.containers.len(), 1);
            // The executor obeys nothing that the operator can fill; the analyze lane has no token.
            let volumes: Vec<_> = pod.volumes.clone().unwrap().into_iter().map(|v| v.name).collect();
            match work {
                Work::Approval { .. } => prop_assert_eq!(volumes, ["tmp", "token"]),
                Work::Request { lane: RequestLane::Analyze, .. } => prop_assert!(!volumes.contains(&"token".to_owned())),
                Work::Request { .. } => prop_assert!(volumes.contains(&"request".to_owned())),
            }
        }
    }

    #[test]
    fn each_thing_that_is_forbidden_is_named() {
        let plan = JobPlan {
            name: "j".into(),
            namespace: "s".into(),
            image: "i".into(),
            incident_uid: "u".into(),
            incident: "n/i".into(),
            work: Work::Approval {
                rollback: false,
                namespace: "n".into(),
                name: "a".into(),
                uid: "u".into(),
            },
        };
        let good = build(&plan).spec.unwrap().template.spec.unwrap();
        let broken: [fn(&mut PodSpec); 8] = [
            |p| p.host_network = Some(true),
            |p| p.host_pid = Some(true),
            |p| p.containers[0].security_context = None,
            |p| p.containers[0].security_context.as_mut().unwrap().privileged = Some(true),
            |p| {
                p.containers[0]
                    .security_context
                    .as_mut()
                    .unwrap()
                    .allow_privilege_escalation = None
            },
            |p| p.containers[0].security_context.as_mut().unwrap().capabilities = None,
            |p| p.volumes.as_mut().unwrap()[0].empty_dir = None,
            |p| p.containers[0].security_context.as_mut().unwrap().run_as_user = Some(0),
        ];
        for change in broken {
            let mut pod = good.clone();
            change(&mut pod);
            assert!(!violations(&pod).is_empty());
        }
    }
}
