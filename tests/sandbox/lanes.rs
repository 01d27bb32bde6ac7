//! What the two lanes that take a request do, in Jobs that the chart's guards admit.

use firewatch_core::api::Role;
use firewatch_core::sandbox::command::{Command, Resource, Scope, Script};
use firewatch_core::sandbox::evidence::EvidenceState::{self, Complete, Forbidden, NotFound, Truncated};
use firewatch_core::sandbox::job::RequestLane;
use firewatch_core::sandbox::request::COMMAND_BYTES_MAX;
use serde_json::Value;

use super::arena::{Asked, with_arena};

fn get(namespace: &str, resources: &[Resource], name: Option<&str>) -> Command {
    Command::Get {
        resources: resources.to_vec(),
        scope: Scope::Namespace(namespace.to_owned()),
        name: name.map(str::to_owned),
    }
}

#[tokio::test]
async fn observe_tells_what_its_account_may_read_and_says_of_the_rest_what_became_of_it() {
    with_arena(true, async |arena| {
        arena
            .config_map("settings", "app.properties", "db.password=correcthorse\nmode=fast\n")
            .await;
        let namespace = arena.namespace.as_str();
        let commands = [
            get(namespace, &[Resource::Pods, Resource::ConfigMaps], None),
            get(namespace, &[Resource::ConfigMaps, Resource::Deployments], None),
            get(namespace, &[Resource::ConfigMaps], Some("no-such-settings")),
            get("kube-system", &[Resource::ConfigMaps], None),
        ];
        let asked = Asked {
            role: Role::SreInvestigator,
            lane: RequestLane::Observe,
            commands: &commands,
            evidence: &[],
        };
        let ended = arena.run(asked, |_| {}).await;
        let lines = ended.lines().unwrap();
        let states: Vec<EvidenceState> = lines.iter().map(|l| l.state).collect();
        assert_eq!(states, [Complete, Forbidden, NotFound, Forbidden], "{lines:#?}");

        let both: Value = serde_json::from_str(&lines[0].output).unwrap();
        let kinds: Vec<&str> = both["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["kind"].as_str().unwrap())
            .collect();
        assert!(kinds.contains(&"Pod") && kinds.contains(&"ConfigMap"), "{kinds:?}");
        assert_eq!(lines[0].argv[..2], ["kubectl", "get"]);

        // The kind that was refused does not hide the one that was not.
        let one: Value = serde_json::from_str(&lines[1].output).unwrap();
        assert!(one["items"].as_array().is_some_and(|i| !i.is_empty()));
        assert!(one["firewatch"]["errors"][0].as_str().unwrap().contains("deployments"));

        assert!(lines[3].argv.is_empty(), "another namespace is not even asked for");
        assert!(ended.log.contains("mode=fast") && !ended.log.contains("correcthorse"));
        assert!(
            !lines.iter().any(|l| l.output.contains(&ended.nonce)),
            "the request lies in this very namespace, and its nonce is not told"
        );
    })
    .await;
}

#[tokio::test]
async fn analyze_searches_evidence_and_runs_the_images_scripts_over_it() {
    with_arena(true, async |arena| {
        let log = concat!(
            "2026-11-24T11:00:00.000000001Z request 17 took 30 ms\n",
            "2026-11-24T11:00:01.000000001Z request 18 took 35 ms\n",
            "Traceback (most recent call last):\n  File \"/app/main.py\", line 10, in run\nKeyError: 'GATEWAY_URL'\n",
        );
        let rows: Vec<String> = (0..600).map(|n| format!("{n} {}\n", "x".repeat(1500))).collect();
        let wide = rows.concat();
        let grep = |pattern: &str, evidence: &str| Command::Grep {
            pattern: pattern.into(),
            evidence: evidence.into(),
        };
        let script = |script: Script| Command::Script {
            script,
            evidence: vec!["E1".into()],
        };
        let commands = [
            grep("took [0-9]+ ms", "E1"),
            grep("nothing like this", "E1"),
            script(Script::LogTemplates),
            script(Script::StackTraces),
            grep("x", "E2"),
        ];
        let evidence = [("E1", log), ("E2", wide.as_str())];
        let asked = Asked {
            role: Role::CodeAnalyst,
            lane: RequestLane::Analyze,
            commands: &commands,
            evidence: &evidence,
        };
        let lines = arena.run(asked, |_| {}).await.lines().unwrap();
        let states: Vec<EvidenceState> = lines.iter().map(|l| l.state).collect();
        assert_eq!(
            states,
            [Complete, Complete, Complete, Complete, Truncated],
            "{:#?}",
            &lines[..4]
        );

        assert_eq!(lines[0].output.lines().count(), 2);
        assert_eq!(lines[1].output, "");
        assert!(
            lines[2]
                .output
                .starts_with("2\trequest <n> took <n> ms\trequest 17 took 30 ms\n"),
            "{}",
            lines[2].output
        );
        let traces: Value = serde_json::from_str(&lines[3].output).unwrap();
        assert_eq!(traces["traces"][0]["frame"], "/app/main.py:10 in run");
        assert!(lines[4].output.len() <= COMMAND_BYTES_MAX && lines[4].total_bytes > COMMAND_BYTES_MAX as u64);
    })
    .await;
}
