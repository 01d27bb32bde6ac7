//! The catalogue in words: what each action is for, how it is taken back, what it touches, when it may be planned, and what looks like
//! its case but would be harmed by it. `docs/actions.md` is rendered from here. Must never differ from what the types do: risk and
//! inverse are computed beside it, and a test compares. Read by the documentation's test, and by people.

use std::fmt::Write as _;

use super::action::catalogue;
use super::check::kinds;
use crate::api::ActionType;

/// What a person should know of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guide {
    /// What it is for.
    pub repairs: &'static str,
    /// What takes it back; none: nothing does.
    pub inverse: Option<&'static str>,
    /// Its risk, as computed from what it changes.
    pub risk: &'static str,
    /// Whom it touches.
    pub reach: &'static str,
    /// What evidence must fix before it is planned.
    pub planned: &'static str,
    /// What looks the same and would be harmed, or only hidden.
    pub look_alikes: &'static str,
}

/// What a person should know of this one.
pub const fn guide(action: ActionType) -> Guide {
    match action {
        ActionType::RollbackRollout => Guide {
            repairs: "A revision that broke what the one before it did well.",
            inverse: Some("a rollback to the revision that was left"),
            risk: "medium",
            reach: "All pods of the workload are replaced, as its update strategy allows.",
            planned: "An earlier revision ran, the difference of the templates touches the failure, and the failure came after it. \
                      Preferred to any value that is only likely.",
            look_alikes: "A failure that came long after the change. A schema that has been migrated: the old program may not understand it.",
        },
        ActionType::RestartRollout => Guide {
            repairs: "Pods that started before a ConfigMap or Secret that they read was changed.",
            inverse: None,
            risk: "medium",
            reach: "All pods of the workload are replaced, as its update strategy allows.",
            planned: "The changed object is younger than the pods that read it.",
            look_alikes: "A leak, an exhausted pool, a deadlock: new pods are relief there, the plan says so, and the trouble comes back.",
        },
        ActionType::Scale => Guide {
            repairs: "A dependency that was scaled to nothing; load beyond what the replicas can carry.",
            inverse: Some("the replicas as they were"),
            risk: "low upwards, medium downwards, high to 0",
            reach: "Pods of the workload; those that run are not touched when it grows.",
            planned: "No autoscaler chooses the replicas. The number before is known from events, or 1 is enough to serve.",
            look_alikes: "Slowness of a dependency: more callers make it worse. A workload that was stopped on purpose.",
        },
        ActionType::SetImage => Guide {
            repairs: "An image that does not exist.",
            inverse: Some("the image as it was"),
            risk: "medium",
            reach: "All pods of the workload are replaced, as its update strategy allows.",
            planned: "The revision before had another image, or a ready container of the namespace runs the one that differs by a slip.",
            look_alikes: "A registry that is away, refuses for want of credentials, or limits pulls: the name is right there.",
        },
        ActionType::SetResources => Guide {
            repairs: "A memory limit below what the program needs; a missing request that an autoscaler computes from; a CPU limit that throttles.",
            inverse: Some("the value as it was, or its absence"),
            risk: "medium",
            reach: "All pods of the workload are replaced; a request also takes room on nodes and of quotas.",
            planned: "The value has room on the largest node, in every ResourceQuota and within every LimitRange.",
            look_alikes: "A leak: more memory delays the next kill, and the plan labels it as relief. A kill by a liveness probe or an eviction.",
        },
        ActionType::SetEnv => Guide {
            repairs: "A setting that a program needs and does not find, or finds wrong.",
            inverse: Some("the value as it was, or its absence"),
            risk: "medium",
            reach: "All pods of the workload are replaced, as its update strategy allows.",
            planned: "The name comes from the log, the value from a neighbour or an earlier revision, and neither may be a credential.",
            look_alikes: "A variable that comes from a ConfigMap or Secret: it is changed there.",
        },
        ActionType::SetConfigMapRef => Guide {
            repairs: "A reference to a ConfigMap, or to a key of one, whose name was mistyped.",
            inverse: Some("the reference as it was"),
            risk: "medium",
            reach: "All pods of the workload are replaced, as its update strategy allows.",
            planned: "What is named does not exist, exactly one that exists differs by a slip of the pen, and it has every key that is asked for.",
            look_alikes: "A ConfigMap that was deleted, or is still to be made. Siblings that differ by a number. References to Secrets are never changed.",
        },
        ActionType::PatchConfigMapKey => Guide {
            repairs: "A key that is missing from a ConfigMap, or holds a wrong value.",
            inverse: Some("the value as it was, or its absence"),
            risk: "low to add, medium to change, high to remove",
            reach: "Everything that reads the key, at its next start or within minutes.",
            planned: "A neighbour or an earlier revision has the value, all that have it agree, and it may not be a credential.",
            look_alikes: "An immutable ConfigMap: it must be made anew. One that another tool writes: the change belongs to its source.",
        },
        ActionType::PatchService => Guide {
            repairs: "A selector that matches no pod because one label differs; a targetPort where nothing listens.",
            inverse: Some("the selector or port as it was"),
            risk: "medium",
            reach: "All callers of the Service, at once.",
            planned: "Exactly one workload is meant by the other labels; the port is one that its pods declare or listen on.",
            look_alikes: "Pods that are selected and not ready. A selector that was emptied to take the Service out of use.",
        },
        ActionType::PatchProbe => Guide {
            repairs: "A probe that asks the wrong port or path.",
            inverse: Some("the field as it was"),
            risk: "medium",
            reach: "All pods of the workload are replaced, as its update strategy allows.",
            planned: "The port is where the program says that it listens, or the only one declared; the path is another probe's, but for a slip.",
            look_alikes: "A program that is ill and fails its probe rightly: another probe would send callers to it. A slow start.",
        },
        ActionType::PatchHpa => Guide {
            repairs: "An autoscaler at its maximum under load, or one that names a workload that does not exist.",
            inverse: Some("the bound or target as it was"),
            risk: "low to raise a bound, medium else",
            reach: "The pods of what it scales.",
            planned: "It stands at its maximum and wants more; or exactly one workload is meant, and no other autoscaler scales it.",
            look_alikes: "Load that a fault makes (retries, a loop): more pods make it worse. A budget for which the bound was chosen.",
        },
        ActionType::PatchPdb => Guide {
            repairs: "A budget that lets no pod be evicted, so that a drain never ends.",
            inverse: Some("the bound as it was"),
            risk: "medium",
            reach: "Whoever drains or evicts: one pod more may go at once.",
            planned: "The budget allows no disruption although all of its pods are ready.",
            look_alikes: "A budget that blocks because its pods are ill: they are repaired first. One replica that may not be interrupted.",
        },
        ActionType::PatchQuota => Guide {
            repairs: "A ResourceQuota that is used up, so that pods are refused.",
            inverse: Some("the bound as it was"),
            risk: "medium",
            reach: "Everything in the namespace together may use more.",
            planned: "The refusal states what is used and what one pod asks; the new bound is what the workload needs in all.",
            look_alikes: "Something else in the namespace that took the room and should not have it.",
        },
        ActionType::SuspendCronJob => Guide {
            repairs: "A CronJob whose Jobs do harm while they run.",
            inverse: Some("resuming it"),
            risk: "medium",
            reach: "No new Jobs of it; those that run go on.",
            planned: "Its Jobs ran when the harm was done, repeatedly.",
            look_alikes: "Work that must be done by a date: backups, invoices.",
        },
        ActionType::ResumeCronJob => Guide {
            repairs: "A CronJob that is suspended, and whose work is missing.",
            inverse: Some("suspending it again"),
            risk: "low",
            reach: "It makes Jobs again, by its schedule.",
            planned: "The incident is about that CronJob.",
            look_alikes: "One that was suspended for a reason: its history and its owner tell.",
        },
        ActionType::CordonNode => Guide {
            repairs: "Nothing: it keeps new pods from a node on which they fail, until a person has looked at it.",
            inverse: Some("uncordoning it"),
            risk: "high",
            reach: "No new pod of any namespace is placed there; those that run stay.",
            planned: "The chart value `remediation.nodes` is on, and the incident lives in the operator's namespace.",
            look_alikes: "Pods that fail everywhere: the node is not the cause. The last node with room.",
        },
        ActionType::UncordonNode => Guide {
            repairs: "Pods that fit no node because the nodes that would take them are cordoned.",
            inverse: Some("cordoning it"),
            risk: "medium",
            reach: "New pods of any namespace may be placed there.",
            planned: "The chart value `remediation.nodes` is on, and the incident lives in the operator's namespace.",
            look_alikes: "A node that is being drained or repaired: whoever cordoned it knows.",
        },
    }
}

/// The page for people.
pub fn page() -> String {
    let mut page = String::from(
        "# Actions\n\n<!-- Rendered from crates/core/src/remediation/guide.rs; `UPDATE=1 cargo test -p firewatch-core --test actions_page` writes it. -->\n\n\
         Nothing outside this catalogue is ever carried out. An action is planned only when evidence fixes its `from` and `to`; otherwise the\n\
         plan says what a person must supply, and why. Each is one command whose conditions the API server checks, so that a change whose\n\
         ground has moved is refused; each but the restart has an exact inverse, which the person approves with it.\n",
    );
    for action in catalogue() {
        let guide = guide(action);
        let kinds: Vec<&str> = kinds(action).iter().map(|(_, kind)| *kind).collect();
        // Writing to a String does not fail.
        let _ = write!(
            page,
            "\n## {action}\n\n| | |\n|---|---|\n| changes | {} |\n| repairs | {} |\n| taken back by | {} |\n| risk | {} |\n| reaches | {} |\n\
             | planned when | {} |\n| looks alike, and is harmed | {} |\n",
            kinds.join(", "),
            guide.repairs,
            guide.inverse.unwrap_or("nothing"),
            guide.risk,
            guide.reach,
            guide.planned,
            guide.look_alikes,
        );
    }
    page
}
