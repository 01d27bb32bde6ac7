//! The page about actions says what the code does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use firewatch_core::api::{ActionTarget, ActionType, Risk};
use firewatch_core::remediation::action::catalogue;
use firewatch_core::remediation::guide::{guide, page};
use firewatch_core::remediation::{Action, Change};

#[test]
fn the_page_is_what_the_catalogue_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/actions.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        held,
        page(),
        "write it: UPDATE=1 cargo test -p firewatch-core --test actions_page"
    );
}

#[test]
fn what_the_page_says_of_risk_and_inverse_is_computed() {
    let on = |api_version: &str, kind: &str, change| {
        let target = ActionTarget {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: (kind != "Node").then(|| "shop".into()),
            name: "one".into(),
            uid: "u".into(),
        };
        Action::new(target, change).unwrap()
    };
    let mark = "2026-01-01T00:00:00Z".to_owned();
    let restart = on("apps/v1", "Deployment", Change::RestartRollout { mark });
    for action in catalogue() {
        let without = restart.action_type() == action && restart.inverse().is_none();
        assert_eq!(guide(action).inverse.is_none(), without, "{action}");
    }
    let scale = |from, to| on("apps/v1", "Deployment", Change::Scale { from, to }).risk();
    assert_eq!(
        guide(ActionType::Scale).risk,
        format!(
            "{} upwards, {} downwards, {} to 0",
            scale(1, 2),
            scale(2, 1),
            scale(1, 0)
        )
    );
    let fixed: [(Change, &str, &str); 4] = [
        (Change::SuspendCronJob, "batch/v1", "CronJob"),
        (Change::ResumeCronJob, "batch/v1", "CronJob"),
        (Change::CordonNode, "v1", "Node"),
        (Change::UncordonNode, "v1", "Node"),
    ];
    for (change, api_version, kind) in fixed {
        let one = on(api_version, kind, change);
        let said: Risk = guide(one.action_type()).risk.parse().unwrap();
        assert_eq!(said, one.risk(), "{}", one.action_type());
    }
}
