//! Which command which agent may run where, and the argv that it becomes. Operator and runner share it: the runner checks every
//! command again before it runs it. No shell ever reads an argv.
//!
//! It must never let a string through that was not checked. Called by `request` (operator) and by the runner.

use serde::{Deserialize, Serialize};
use strum::AsRefStr;

use super::command::{Command, Lane, Resource, Scope};
use super::permissions::Permissions;

/// Where an incident may look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tenancy {
    /// Only these namespaces, and the cluster-scoped facts that explain them.
    Namespaces(Vec<String>),
    /// Everywhere: incidents of the operator's own namespace.
    Cluster,
}

impl Tenancy {
    /// Whether this namespace is within it.
    pub fn admits(&self, namespace: &str) -> bool {
        match self {
            Self::Namespaces(list) => list.iter().any(|n| n == namespace),
            Self::Cluster => true,
        }
    }
}

/// Why a command may not run. Closed.
#[derive(Clone, Debug, PartialEq, Eq, AsRefStr, thiserror::Error)]
pub enum PolicyRefusal {
    /// The command belongs to another lane.
    #[error("{command} is not a command of the {lane} lane")]
    WrongLane {
        /// Which command.
        command: &'static str,
        /// The lane that it was asked in.
        lane: Lane,
    },
    /// The role may not run this kind of command.
    #[error("this agent may not run {0}")]
    CommandNotPermitted(&'static str),
    /// The role may not read this kind.
    #[error("this agent may not read {0}")]
    ResourceNotPermitted(Resource),
    /// The namespace is not the incident's.
    #[error("namespace {0} is not the incident's own")]
    ForeignNamespace(String),
    /// A string is not what it must be.
    #[error("{field}: {value:?} is not valid")]
    Malformed {
        /// Which field.
        field: &'static str,
        /// What it holds, cut.
        value: String,
    },
    /// What the command shows reaches beyond the incident's namespace.
    #[error("{0} of the whole cluster show what is in other namespaces; name one of the incident's own")]
    BeyondTenancy(Resource),
    /// More than one request may ask for.
    #[error("{field}: {count} is more than {most}")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A kind that is cluster-scoped was asked for in a namespace, or the other way round.
    #[error("{0} does not live in that scope")]
    WrongScope(Resource),
}

/// The most lines of a log that may be asked for. What is printed of them is bounded in bytes.
pub const TAIL_LINES_MAX: u32 = 20_000;
/// More lines than this are shortened to those that may tell.
pub const TAIL_LINES_WHOLE: usize = 2000;
/// The most kinds that one command may list, and pieces of evidence that a script may read.
const SEVERAL_MAX: usize = 32;

impl Command {
    /// The command's name in `config/agents`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Get { .. } => "get",
            Self::Describe { .. } => "describe",
            Self::Logs { .. } => "logs",
            Self::TopPods { .. } | Self::TopNodes => "top",
            Self::RolloutHistory { .. } | Self::RolloutStatus { .. } => "rollout",
            Self::Grep { .. } => "grep",
            Self::Script { .. } => "script",
            Self::Metrics { .. } => "metrics",
        }
    }
}

impl Resource {
    /// Whether the kind is cluster-scoped.
    pub const fn is_cluster_scoped(self) -> bool {
        matches!(
            self,
            Self::Namespaces
                | Self::Nodes
                | Self::PersistentVolumes
                | Self::StorageClasses
                | Self::IngressClasses
                | Self::PriorityClasses
        )
    }

    /// As kubectl names it, with its group where that is needed to be exact.
    pub const fn kubectl(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Deployments => "deployments.apps",
            Self::ReplicaSets => "replicasets.apps",
            Self::StatefulSets => "statefulsets.apps",
            Self::DaemonSets => "daemonsets.apps",
            Self::ControllerRevisions => "controllerrevisions.apps",
            Self::Jobs => "jobs.batch",
            Self::CronJobs => "cronjobs.batch",
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices.discovery.k8s.io",
            Self::Ingresses => "ingresses.networking.k8s.io",
            Self::NetworkPolicies => "networkpolicies.networking.k8s.io",
            Self::ConfigMaps => "configmaps",
            Self::PersistentVolumeClaims => "persistentvolumeclaims",
            Self::HorizontalPodAutoscalers => "horizontalpodautoscalers.autoscaling",
            Self::PodDisruptionBudgets => "poddisruptionbudgets.policy",
            Self::ResourceQuotas => "resourcequotas",
            Self::LimitRanges => "limitranges",
            Self::ServiceAccounts => "serviceaccounts",
            Self::Roles => "roles.rbac.authorization.k8s.io",
            Self::RoleBindings => "rolebindings.rbac.authorization.k8s.io",
            Self::Events => "events",
            Self::Namespaces => "namespaces",
            Self::Nodes => "nodes",
            Self::PersistentVolumes => "persistentvolumes",
            Self::StorageClasses => "storageclasses.storage.k8s.io",
            Self::IngressClasses => "ingressclasses.networking.k8s.io",
            Self::PriorityClasses => "priorityclasses.scheduling.k8s.io",
            Self::VerticalPodAutoscalers => "verticalpodautoscalers.autoscaling.k8s.io",
        }
    }
}

/// A DNS subdomain, which every Kubernetes name that we ask for is; never an option.
pub(crate) fn name(field: &'static str, value: &str) -> Result<(), PolicyRefusal> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.' || b == b':';
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = value.as_bytes();
    if bytes.len() <= 253 && bytes.iter().all(|b| inner(*b)) && edge(bytes.first()) && edge(bytes.last()) {
        Ok(())
    } else {
        Err(PolicyRefusal::Malformed {
            field,
            value: value.chars().take(64).collect(),
        })
    }
}

/// Evidence ids become file names.
fn evidence_id(value: &str) -> Result<(), PolicyRefusal> {
    let rest = value.strip_prefix('E').unwrap_or_default();
    if !rest.is_empty() && rest.len() <= 6 && rest.bytes().all(|b| b.is_ascii_digit()) {
        Ok(())
    } else {
        Err(PolicyRefusal::Malformed {
            field: "evidence",
            value: value.chars().take(64).collect(),
        })
    }
}

/// Checks a command against lane, role and tenancy, and renders it. The first element is the program.
pub fn check(
    permissions: &Permissions,
    lane: Lane,
    tenancy: &Tenancy,
    command: &Command,
) -> Result<Vec<String>, PolicyRefusal> {
    // What a Prometheus is asked is no command of a pod, in whatever lane it is put.
    if command.lane() != lane || lane == Lane::Metrics || !permissions.lanes.contains(&lane) {
        return Err(PolicyRefusal::WrongLane {
            command: command.name(),
            lane,
        });
    }
    if !permissions.commands.iter().any(|c| c == command.name()) {
        return Err(PolicyRefusal::CommandNotPermitted(command.name()));
    }
    let readable = |resource: Resource| {
        if permissions.resources.contains(&resource) {
            Ok(())
        } else {
            Err(PolicyRefusal::ResourceNotPermitted(resource))
        }
    };
    let own = |namespace: &str| {
        name("namespace", namespace)?;
        if tenancy.admits(namespace) {
            Ok(())
        } else {
            Err(PolicyRefusal::ForeignNamespace(namespace.to_owned()))
        }
    };
    let scoped = |resource: Resource, scope: &Scope| -> Result<Vec<String>, PolicyRefusal> {
        match scope {
            Scope::Namespace(namespace) if !resource.is_cluster_scoped() => {
                own(namespace)?;
                Ok(vec![format!("--namespace={namespace}")])
            }
            Scope::Cluster if resource.is_cluster_scoped() => Ok(Vec::new()),
            _ => Err(PolicyRefusal::WrongScope(resource)),
        }
    };
    // `describe node` lists the pods of every namespace; other cluster-scoped kinds are filtered by the runner.
    let within = |resource: Resource, object: Option<&str>| match (tenancy, resource) {
        (Tenancy::Namespaces(_), Resource::Namespaces) if !object.is_some_and(|o| tenancy.admits(o)) => {
            Err(PolicyRefusal::BeyondTenancy(resource))
        }
        _ => Ok(()),
    };
    let few = |field: &'static str, count: usize| {
        let most = SEVERAL_MAX;
        if count <= most {
            Ok(())
        } else {
            Err(PolicyRefusal::TooMany { field, count, most })
        }
    };
    let words = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<String>>();
    Ok(match command {
        Command::Get {
            resources,
            scope,
            name: object,
        } => {
            few("resources", resources.len())?;
            if object.is_some() && resources.len() != 1 {
                return Err(PolicyRefusal::TooMany {
                    field: "resources",
                    count: resources.len(),
                    most: 1,
                });
            }
            let mut flags = Vec::new();
            for resource in resources {
                readable(*resource)?;
                within(*resource, object.as_deref())?;
                flags = scoped(*resource, scope)?;
            }
            let Some(first) = resources.first() else {
                return Err(PolicyRefusal::Malformed {
                    field: "resources",
                    value: String::new(),
                });
            };
            let kinds: Vec<&str> = resources.iter().map(|r| r.kubectl()).collect();
            let mut argv = words(&["kubectl", "get"]);
            match object {
                Some(object) => {
                    name("name", object)?;
                    argv.push(format!("{}/{object}", first.kubectl()));
                }
                None => argv.push(kinds.join(",")),
            }
            argv.extend(flags);
            argv.extend(words(&[
                "--output=json",
                "--show-managed-fields=true",
                "--ignore-not-found=false",
            ]));
            argv
        }
        Command::Describe {
            resource,
            scope,
            name: object,
        } => {
            readable(*resource)?;
            name("name", object)?;
            if resource.is_cluster_scoped() && matches!(tenancy, Tenancy::Namespaces(_)) {
                return Err(PolicyRefusal::BeyondTenancy(*resource));
            }
            let mut argv = words(&["kubectl", "describe"]);
            argv.push(format!("{}/{object}", resource.kubectl()));
            argv.extend(scoped(*resource, scope)?);
            argv
        }
        Command::Logs {
            namespace,
            pod,
            container,
            previous,
            tail_lines,
        } => {
            own(namespace)?;
            name("pod", pod)?;
            name("container", container)?;
            if *tail_lines == 0 || *tail_lines > TAIL_LINES_MAX {
                return Err(PolicyRefusal::Malformed {
                    field: "tailLines",
                    value: tail_lines.to_string(),
                });
            }
            let mut argv = words(&["kubectl", "logs", "--timestamps"]);
            argv.push(format!("--namespace={namespace}"));
            argv.push(format!("--container={container}"));
            argv.push(format!("--tail={tail_lines}"));
            if *previous {
                argv.push("--previous".to_owned());
            }
            argv.push(format!("pods/{pod}"));
            argv
        }
        Command::TopPods { namespace } => {
            own(namespace)?;
            let mut argv = words(&["kubectl", "top", "pods", "--containers", "--no-headers"]);
            argv.push(format!("--namespace={namespace}"));
            argv
        }
        Command::TopNodes => words(&["kubectl", "top", "nodes", "--no-headers"]),
        Command::RolloutHistory {
            resource,
            namespace,
            name: object,
        }
        | Command::RolloutStatus {
            resource,
            namespace,
            name: object,
        } => {
            readable(*resource)?;
            if !matches!(
                resource,
                Resource::Deployments | Resource::StatefulSets | Resource::DaemonSets
            ) {
                return Err(PolicyRefusal::WrongScope(*resource));
            }
            own(namespace)?;
            name("name", object)?;
            let history = matches!(command, Command::RolloutHistory { .. });
            let mut argv = words(&["kubectl", "rollout", if history { "history" } else { "status" }]);
            argv.push(format!("{}/{object}", resource.kubectl()));
            argv.push(format!("--namespace={namespace}"));
            if !history {
                argv.push("--watch=false".to_owned());
            }
            argv
        }
        Command::Metrics { .. } => return Err(PolicyRefusal::CommandNotPermitted(command.name())),
        Command::Grep { pattern, evidence } => {
            evidence_id(evidence)?;
            if pattern.is_empty() || pattern.len() > 512 || pattern.contains('\0') || pattern.contains('\n') {
                return Err(PolicyRefusal::Malformed {
                    field: "pattern",
                    value: pattern.chars().take(64).collect(),
                });
            }
            let mut argv = words(&["grep", "--extended-regexp", "--line-number", "--max-count=500"]);
            argv.push(format!("--regexp={pattern}"));
            argv.push("--".to_owned());
            argv.push(format!("/evidence/{}/output", evidence.to_lowercase()));
            argv
        }
        Command::Script { script, evidence } => {
            let mut argv = match script {
                super::command::Script::LogTemplates => words(&[
                    "awk",
                    "--sandbox",
                    "--file=/usr/local/lib/firewatch/log-templates.awk",
                    "--",
                ]),
                super::command::Script::StackTraces => {
                    words(&["python3", "-I", "-S", "/usr/local/lib/firewatch/stack-traces.py"])
                }
            };
            few("evidence", evidence.len())?;
            // Without a file it would wait for input that never comes.
            if evidence.is_empty() {
                return Err(PolicyRefusal::Malformed {
                    field: "evidence",
                    value: String::new(),
                });
            }
            for id in evidence {
                evidence_id(id)?;
                argv.push(format!("/evidence/{}/output", id.to_lowercase()));
            }
            argv
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::Role;

    fn own() -> Tenancy {
        Tenancy::Namespaces(vec!["shop".into()])
    }

    fn sre(command: &Command) -> Result<Vec<String>, PolicyRefusal> {
        check(&Permissions::of(Role::SreInvestigator), Lane::Observe, &own(), command)
    }

    fn logs(namespace: &str, pod: &str) -> Command {
        Command::Logs {
            namespace: namespace.into(),
            pod: pod.into(),
            container: "c".into(),
            previous: true,
            tail_lines: 100,
        }
    }

    #[test]
    fn a_command_becomes_an_argv_without_a_shell() {
        let argv = sre(&logs("shop", "web-1")).unwrap();
        assert_eq!(
            argv.join(" "),
            "kubectl logs --timestamps --namespace=shop --container=c --tail=100 --previous pods/web-1"
        );
    }

    #[test]
    fn another_namespace_is_refused() {
        assert_eq!(
            sre(&logs("payments", "web-1")),
            Err(PolicyRefusal::ForeignNamespace("payments".into()))
        );
    }

    #[test]
    fn an_option_in_place_of_a_name_is_refused() {
        for bad in [
            "--kubeconfig=/tmp/x",
            "-A",
            "a b",
            "a;b",
            "$(id)",
            "",
            "A",
            "a/../b",
            "a\nb",
        ] {
            assert!(
                matches!(sre(&logs("shop", bad)), Err(PolicyRefusal::Malformed { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_namespaced_kind_is_never_read_across_the_cluster() {
        let command = Command::Get {
            resources: vec![Resource::ConfigMaps],
            scope: Scope::Cluster,
            name: None,
        };
        assert_eq!(sre(&command), Err(PolicyRefusal::WrongScope(Resource::ConfigMaps)));
    }

    #[test]
    fn a_tenant_is_not_shown_what_else_runs_in_the_cluster() {
        let nodes = Command::Describe {
            resource: Resource::Nodes,
            scope: Scope::Cluster,
            name: "n1".into(),
        };
        let namespaces = |name: Option<&str>| Command::Get {
            resources: vec![Resource::Namespaces],
            scope: Scope::Cluster,
            name: name.map(str::to_owned),
        };
        assert_eq!(sre(&nodes), Err(PolicyRefusal::BeyondTenancy(Resource::Nodes)));
        assert_eq!(
            sre(&namespaces(None)),
            Err(PolicyRefusal::BeyondTenancy(Resource::Namespaces))
        );
        assert_eq!(
            sre(&namespaces(Some("payments"))),
            Err(PolicyRefusal::BeyondTenancy(Resource::Namespaces))
        );
        assert!(sre(&namespaces(Some("shop"))).is_ok());
        let everywhere = |command: &Command| {
            check(
                &Permissions::of(Role::SreInvestigator),
                Lane::Observe,
                &Tenancy::Cluster,
                command,
            )
        };
        assert!(everywhere(&nodes).is_ok() && everywhere(&namespaces(None)).is_ok());
    }

    #[test]
    fn a_name_goes_with_one_kind_and_a_script_with_a_file() {
        let command = Command::Get {
            resources: vec![Resource::Pods, Resource::ConfigMaps],
            scope: Scope::Namespace("shop".into()),
            name: Some("web".into()),
        };
        assert!(matches!(sre(&command), Err(PolicyRefusal::TooMany { .. })));
        let script = |evidence: Vec<String>| {
            let command = Command::Script {
                script: super::super::command::Script::StackTraces,
                evidence,
            };
            check(&Permissions::of(Role::CodeAnalyst), Lane::Analyze, &own(), &command)
        };
        assert!(script(Vec::new()).is_err());
        assert!(script(vec!["E1".into(); 33]).is_err());
        assert!(script(vec!["../etc".into()]).is_err());
        assert_eq!(
            script(vec!["E7".into()]).unwrap().last().unwrap(),
            "/evidence/e7/output"
        );
    }

    #[test]
    fn no_secret_can_be_asked_for() {
        assert!(serde_json::from_str::<Resource>("\"secrets\"").is_err());
    }

    #[test]
    fn the_commander_and_the_planner_run_nothing() {
        for role in [Role::Commander, Role::RemediationPlanner] {
            for command in [
                logs("shop", "web-1"),
                Command::TopNodes,
                Command::Grep {
                    pattern: "x".into(),
                    evidence: "E1".into(),
                },
            ] {
                assert!(check(&Permissions::of(role), command.lane(), &own(), &command).is_err());
            }
        }
    }

    #[test]
    fn a_command_does_not_run_in_another_lane() {
        let permissions = Permissions::of(Role::CodeAnalyst);
        let grep = Command::Grep {
            pattern: "x".into(),
            evidence: "E1".into(),
        };
        assert!(check(&permissions, Lane::Observe, &own(), &grep).is_err());
        assert!(check(&permissions, Lane::Analyze, &own(), &grep).is_ok());
    }
}
