//! schemathesis with all its checks against the running server: what the OpenAPI document promises holds, for what it describes and for
//! what it does not.

use std::process::Command;

use kube::api::PostParams;
use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing() {
    let program = std::env::var("FIREWATCH_SCHEMATHESIS").expect(
        "FIREWATCH_SCHEMATHESIS names it: `tests/cluster/prepare schemathesis`, `eval \"$(tests/cluster/env.sh)\"`",
    );
    let world = World::new("schema").await;
    let token = world.caller("tester", &[]).await;
    world.grant_everywhere("tester").await;
    let api = world
        .api(|config| {
            config.rate = 0;
            config.stream_seconds = 1;
        })
        .await;
    // Something to find: the examples of the document name it.
    let incident = json!({ "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident", "metadata": { "name": "seen" }, "spec": { "title": "t" } });
    world
        .incidents()
        .create(&PostParams::default(), &serde_json::from_value(incident).unwrap())
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut document = firewatch::api_server::openapi::document();
    for path in document["paths"].as_object_mut().unwrap().values_mut() {
        for operation in path.as_object_mut().unwrap().values_mut() {
            let parameters = operation.get_mut("parameters").and_then(|all| all.as_array_mut());
            for parameter in parameters.into_iter().flatten() {
                match (parameter["in"].as_str(), parameter["name"].as_str()) {
                    (_, Some("namespace")) => parameter["example"] = json!(world.namespace),
                    (Some("path"), Some("name")) => parameter["example"] = json!("seen"),
                    _ => {}
                }
            }
        }
    }
    for schema in ["IncidentRequest", "RunRequest"] {
        document["components"]["schemas"][schema]["properties"]["namespace"]["example"] = json!(world.namespace);
    }
    let schema = directory.path().join("openapi.json");
    std::fs::write(&schema, document.to_string()).unwrap();

    let address = api.address;
    let folder = directory.path().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .current_dir(folder)
            .args(["run", "openapi.json", "--no-color", "--checks", "all"])
            .args(["--url", &format!("http://{address}")])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(["--seed=1", "--generation-database=none", "--no-shrink"])
            .args(["--max-examples=12", "--max-time=25", "--request-timeout=10"])
            .args(["--continue-on-failure", "--suppress-health-check", "all"])
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .expect("it runs")
    })
    .await
    .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "schemathesis found something:\n{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // It has tried all of them, and was let in.
    let shown = api.metrics.render();
    for (route, status) in [
        ("/incident", 201),
        ("/incident/run", 201),
        ("/incidents", 200),
        ("/incidents/{namespace}/{name}/transitions", 200),
    ] {
        let label = format!("route=\"{route}\"");
        let is = shown
            .lines()
            .any(|line| line.contains(&label) && line.contains(&format!("status=\"{status}\"")));
        assert!(is, "{route} never answered {status}:\n{said}");
    }
    api.stops().await;
    world.over().await;
}
