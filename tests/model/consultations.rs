//! The loop with a model, from the rules' reports to the diagnosis: a scripted endpoint, an API server in memory, a real Postgres, and a
//! process that dies wherever it can.

use std::collections::HashMap;
use std::sync::Arc;

use clap::Parser;
use firewatch::approval::guard::GuardWatch;
use firewatch::config::Config;
use firewatch::incident::context::Context;
use firewatch::incident::payload::{self, Record};
use firewatch::incident::reconcile::{Backoff, FINALIZER, reconcile};
use firewatch::model::{ModelArgs, ModelConfig, Models};
use firewatch::store::AuditSink;
use firewatch::store::file::FileSink;
use firewatch::telemetry::metrics::Metrics;
use firewatch_core::agents::{AgentRun, AgentStep};
use firewatch_core::api::status::EvidenceRef;
use firewatch_core::api::{Incident, Outcome, Phase, Role};
use firewatch_core::diagnosis::CaseFile;
use firewatch_core::diagnosis::recording::{FILE, Recording};
use firewatch_core::sandbox::command::Command;
use firewatch_core::sandbox::evidence::Evidence;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::api::Api;
use crate::database::{Database, with_database};
use crate::server::{Act, Server};

const PATH: &str = "/apis/firewatch.dev/v1alpha1/namespaces/checkout-1/incidents/checkout";
const NOTHING: &str = r#"{"findings":[],"confirms":[],"refutes":[],"hypothesis":null,"unknowns":[],"ask":[]}"#;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

/// An incident whose agents have reported, and whose cause no rule knows.
struct World {
    api: Api,
    uid: String,
    sink: Arc<dyn AuditSink>,
    metrics: Arc<Metrics>,
}

/// Pods that are not ready, and nothing that says why.
fn unexplained(recording: &Recording) -> Vec<Evidence> {
    let mut evidence = recording.evidence.clone();
    evidence.retain(|one| !matches!(one.command, Command::Logs { .. }));
    for one in &mut evidence {
        let Ok(mut list) = serde_json::from_str::<Value>(&one.output) else {
            continue;
        };
        if let Some(items) = list.get_mut("items").and_then(Value::as_array_mut) {
            items.retain(|item| matches!(item["kind"].as_str(), Some("Deployment" | "Pod" | "Service")));
            for item in items {
                for status in item["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
                    status["ready"] = false.into();
                    status["state"] = json!({"running": {"startedAt": "2026-11-24T11:00:00Z"}});
                    status["lastState"] = json!({});
                    status["restartCount"] = 0.into();
                }
                for place in ["/spec", "/spec/template/spec"] {
                    let Some(spec) = item.pointer_mut(place).and_then(Value::as_object_mut) else {
                        continue;
                    };
                    spec.remove("volumes");
                    for container in spec
                        .get_mut("containers")
                        .and_then(Value::as_array_mut)
                        .into_iter()
                        .flatten()
                    {
                        container["env"] = json!([]);
                        container["envFrom"] = json!([]);
                    }
                }
            }
        }
        one.output = list.to_string();
    }
    evidence
}

fn recorded() -> Recording {
    let path = format!("{}/scenarios/crashloop/recorded/{FILE}", env!("CARGO_MANIFEST_DIR"));
    Recording::from_text(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn models(url: &str, sure: u8) -> Models {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args = ModelArgs {
        model_url: Some(url.to_owned()),
        model: Some("scripted".into()),
        model_prices: Some("scripted=0.15/0.60".into()),
        model_timeout_seconds: 5,
        model_tokens_per_incident: 12_000,
        model_usd_per_incident: "1".into(),
        model_usd_per_namespace_day: "50".into(),
        model_usd_per_cluster_day: "50".into(),
        model_sure: sure,
        ..ModelArgs::default()
    };
    Models::new(ModelConfig::from_args(&args).unwrap().unwrap()).unwrap()
}

impl World {
    async fn new(number: usize, sink: Arc<dyn AuditSink>, evidence: Vec<Evidence>) -> Self {
        let world = Self {
            api: Api::default(),
            uid: format!("00000000-0000-4000-8000-{number:012}"),
            sink,
            metrics: Arc::new(Metrics::default()),
        };
        let header = recorded().header;
        let target = header.target.clone().unwrap();
        let case = CaseFile::from_evidence(&header.namespace, header.target, header.read_at, &evidence);
        let ctx = world.context(None);
        for role in [Role::SreInvestigator, Role::CodeAnalyst] {
            let mut run = AgentRun::start(role);
            run.round = firewatch_core::agents::run::MAX_ROUNDS;
            let AgentStep::Report(report) = run.next(&case) else {
                panic!("{role} wants more after its last round");
            };
            let record = Record {
                report: Some(report),
                ..Record::default()
            };
            payload::keep(&ctx, &world.uid, &[role.as_ref(), "report"], record)
                .await
                .unwrap();
        }
        let references: Vec<EvidenceRef> = {
            let record = Record {
                evidence: evidence.clone(),
                ..Record::default()
            };
            let (_, at) = payload::keep(&ctx, &world.uid, &["job", "evidence"], record)
                .await
                .unwrap();
            evidence
                .iter()
                .map(|one| EvidenceRef {
                    id: one.id.clone(),
                    agent: one.agent,
                    command: "kubectl".into(),
                    state: one.state.to_string(),
                    sha256: one.sha256.clone(),
                    config_map: Some(at.config_map.clone()),
                })
                .collect()
        };
        let agent = |role: &str| json!({"role": role, "engine": "Rules", "state": "Succeeded", "evidence": 1});
        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        world.api.put(
            PATH,
            json!({
                "apiVersion": "firewatch.dev/v1alpha1",
                "kind": "Incident",
                "metadata": {"name": "checkout", "namespace": header.namespace, "uid": world.uid, "finalizers": [FINALIZER]},
                "spec": {"title": "checkout does not work", "target": {"kind": target.kind, "name": target.name}},
                "status": {
                    "phase": "Investigating",
                    "phaseStartedAt": now,
                    "agents": [agent("sre-investigator"), agent("code-analyst")],
                    "evidence": references,
                },
            }),
        );
        world
    }

    /// A process that has just begun.
    fn context(&self, models: Option<Models>) -> Context {
        let client = self.api.client();
        let config = Flags::parse_from(["firewatch"]).config;
        let (policies, _) = reflector::store();
        let (incidents, _) = reflector::store();
        let reporter = Reporter {
            controller: "firewatch".into(),
            instance: None,
        };
        Context {
            client: client.clone(),
            sink: self.sink.clone(),
            models,
            notifier: None,
            prometheus: None,
            metrics: self.metrics.clone(),
            recorder: Recorder::new(client.clone(), reporter),
            guard: GuardWatch::new(client, &config),
            policies,
            incidents,
            beginning: Mutex::default(),
            records: Mutex::new(HashMap::new()),
            relayed: Mutex::new(HashMap::new()),
            config,
        }
    }

    fn incident(&self) -> Incident {
        serde_json::from_value(self.api.get(PATH)).unwrap()
    }

    /// Reconciles until the diagnosis is made and everything is stored; a process that dies is begun again.
    async fn run(&self, models: &dyn Fn() -> Option<Models>) -> Incident {
        let start = || Arc::new((Arc::new(self.context(models())), Backoff::default()));
        let mut process = start();
        for _ in 0..120 {
            let incident = self.incident();
            let status = incident.status.clone().unwrap();
            if status.phase > Phase::Investigating && status.outbox.is_empty() {
                return incident;
            }
            // A task of its own, as the controller's: not on the stack of a test.
            let step = tokio::spawn(reconcile(Arc::new(incident), process.clone()));
            step.await.unwrap().unwrap();
            if self.api.is_dead() {
                self.api.dies_at(None);
                process = start();
            }
        }
        let text = self.metrics.render();
        let errors: Vec<_> = text.lines().filter(|line| line.contains("reconcile_errors")).collect();
        panic!("it never ends: {errors:?}, {:?}", self.incident().status);
    }
}

/// Calls, tokens and millionths of a dollar: of the status, of the calls and of the budgets in Postgres.
async fn accounts(database: &Database, incident: &Incident) -> [(i64, i64, i64); 3] {
    let mut owner = database.owner().await;
    let uid = incident.metadata.uid.clone().unwrap();
    let calls = sqlx::query_as(
        "SELECT count(*), coalesce(sum(prompt_tokens + completion_tokens), 0)::bigint,
                coalesce(sum(cost_usd) * 1000000, 0)::bigint FROM model_calls WHERE incident_uid = $1::uuid",
    )
    .bind(&uid)
    .fetch_one(&mut owner)
    .await
    .unwrap();
    let spend = sqlx::query_as(
        "SELECT count(*), coalesce(sum(coalesce(spent_tokens, reserved_tokens)), 0)::bigint,
                coalesce(sum(coalesce(spent_usd, reserved_usd)) * 1000000, 0)::bigint FROM model_spend WHERE incident_uid = $1::uuid",
    )
    .bind(&uid)
    .fetch_one(&mut owner)
    .await
    .unwrap();
    let usage = incident.status.as_ref().unwrap().usage.clone().unwrap_or_default();
    let dollars: f64 = usage.cost_usd.parse().unwrap_or_default();
    #[allow(clippy::cast_possible_truncation)]
    let status = (
        usage.model_calls,
        usage.prompt_tokens + usage.completion_tokens,
        (dollars * 1_000_000.0).round() as i64,
    );
    [status, calls, spend]
}

fn condition(incident: &Incident) -> Option<(String, String)> {
    let conditions = &incident.status.as_ref().unwrap().conditions;
    let found = conditions.iter().find(|c| c.type_ == "ModelConsulted")?;
    Some((found.status.clone(), found.message.clone()))
}

fn outcome(incident: &Incident) -> Option<Outcome> {
    incident.status.as_ref().unwrap().outcome
}

#[tokio::test]
async fn what_the_rules_cannot_explain_is_asked_once_of_each_specialist_and_every_account_says_the_same() {
    with_database(async |database| {
        let server = Server::start(vec![Act::Answer(NOTHING.into(), "stop", 1_234, 56)]).await;
        let world = World::new(1, Arc::new(database.sink()), unexplained(&recorded())).await;
        let incident = world.run(&|| Some(models(&server.url, 85))).await;
        assert_eq!(outcome(&incident), Some(Outcome::Inconclusive));
        let bodies = server.bodies();
        assert_eq!(bodies.len(), 2);
        for body in &bodies {
            assert_eq!(body["response_format"]["json_schema"]["strict"], true);
            assert!(body["messages"][1]["content"].as_str().unwrap().contains("checkout"));
        }
        let each = accounts(database, &incident).await;
        // 1,234 and 56 tokens at 0.15 and 0.60 dollars a million are 218.7 millionths, rounded up for each call.
        assert_eq!(each, [(2, 2 * 1_290, 2 * 219); 3]);
        let text = world.metrics.render();
        for role in ["sre-investigator", "code-analyst"] {
            let is = |line: &str| {
                text.lines()
                    .any(|l| l.contains(role) && l.contains("Succeeded") && l.ends_with(line))
            };
            assert!(is(" 1") && is(" 1290") && is(" 219"), "{role}: {text}");
        }
        let (status, message) = condition(&incident).unwrap();
        assert_eq!((status.as_str(), message.as_str()), ("True", "2 calls, 0.000438 USD"));
    })
    .await;
}

#[tokio::test]
async fn wherever_the_process_dies_no_answer_is_paid_for_twice() {
    with_database(async |database| {
        let sink: Arc<dyn AuditSink> = Arc::new(database.sink());
        let evidence = unexplained(&recorded());
        let whole = {
            let server = Server::start(vec![Act::Answer(NOTHING.into(), "stop", 1_234, 56)]).await;
            let world = World::new(1000, sink.clone(), evidence.clone()).await;
            let before = world.api.requests();
            world.run(&|| Some(models(&server.url, 85))).await;
            world.api.requests() - before
        };
        let mut lost = 0;
        for step in 0..whole {
            let server = Server::start(vec![Act::Answer(NOTHING.into(), "stop", 1_234, 56)]).await;
            let world = World::new(step + 1, sink.clone(), evidence.clone()).await;
            world.api.dies_at(Some(world.api.requests() + step));
            let incident = world.run(&|| Some(models(&server.url, 85))).await;
            let sent = server.bodies().len();
            assert!(sent <= 2, "dead at {step}: {sent} calls for two answers");
            assert_eq!(outcome(&incident), Some(Outcome::Inconclusive), "dead at {step}");
            let [status, calls, spend] = accounts(database, &incident).await;
            assert_eq!(status, calls, "dead at {step}");
            assert_eq!(status, spend, "dead at {step}");
            // Begun, and its answer not kept: spent as it was reserved, and not asked again.
            let (_, message) = condition(&incident).unwrap();
            if message.contains("begun before a restart") {
                lost += 1;
                assert!(status.1 > 2 * 1_290, "dead at {step}: {status:?}");
            } else {
                assert_eq!(status, (2, 2 * 1_290, 2 * 219), "dead at {step}");
            }
        }
        println!("dead at each of {whole} requests: no answer paid for twice, {lost} times a call was begun and lost");
        assert!(whole > 20 && lost > 0);
    })
    .await;
}

#[tokio::test]
async fn where_nobody_keeps_budgets_no_model_is_called_and_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let sink = FileSink::open(&folder.path().join("audit.jsonl")).unwrap();
    let server = Server::start(vec![Act::Answer(NOTHING.into(), "stop", 1, 1)]).await;
    let world = World::new(1, Arc::new(sink), unexplained(&recorded())).await;
    let incident = world.run(&|| Some(models(&server.url, 85))).await;
    assert_eq!(outcome(&incident), Some(Outcome::Inconclusive));
    assert_eq!(server.bodies().len(), 0);
    let (status, message) = condition(&incident).unwrap();
    assert_eq!(status, "False");
    assert!(message.contains("no Postgres"), "{message}");
}

#[tokio::test]
async fn an_endpoint_that_fails_ends_in_what_the_rules_found_and_it_is_said() {
    with_database(async |database| {
        let sink: Arc<dyn AuditSink> = Arc::new(database.sink());
        for (number, (act, words)) in [
            (Act::Status(401, String::new()), "does not accept the key"),
            (Act::Break, "did not answer in time"),
            (
                Act::Answer("{\"rootCause\":\"dns\"}".into(), "stop", 9, 9),
                "not the right form",
            ),
            (Act::Refuse("I will not."), "refused"),
        ]
        .into_iter()
        .enumerate()
        {
            let server = Server::start(vec![act]).await;
            let world = World::new(number, sink.clone(), unexplained(&recorded())).await;
            let incident = world.run(&|| Some(models(&server.url, 85))).await;
            assert_eq!(outcome(&incident), Some(Outcome::Inconclusive), "{words}");
            let (status, message) = condition(&incident).unwrap();
            assert_eq!(status, "False", "{words}");
            assert!(message.contains(words), "{message}");
            let [status, calls, spend] = accounts(database, &incident).await;
            assert_eq!((status, status), (calls, spend), "{words}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_model_asks_for_and_cannot_be_had_is_gone_without() {
    with_database(async |database| {
        let evidence = unexplained(&recorded());
        let asks = NOTHING.replace(
            r#""ask":[]"#,
            r#""ask":[{"what":"rolloutHistory","object":{"kind":"Deployment","name":"checkout"},"container":""}]"#,
        );
        let server = Server::start(vec![Act::Answer(asks, "stop", 1_000, 50)]).await;
        let world = World::new(1, Arc::new(database.sink()), evidence).await;
        let incident = world.run(&|| Some(models(&server.url, 85))).await;
        assert_eq!(outcome(&incident), Some(Outcome::Inconclusive));
        assert_eq!(server.bodies().len(), 4, "each of the two has a second and last turn");
        let status = incident.status.clone().unwrap();
        let asked: Vec<_> = status.jobs.iter().map(|job| (job.agent, job.round)).collect();
        assert_eq!(asked, [(Role::SreInvestigator, 1), (Role::CodeAnalyst, 1)]);
        assert_eq!(accounts(database, &incident).await, [(4, 4 * 1_050, 4 * 180); 3]);
    })
    .await;
}

#[tokio::test]
async fn without_a_model_or_where_the_rules_are_sure_nothing_is_different() {
    Box::pin(with_database(async |database| {
        let sink: Arc<dyn AuditSink> = Arc::new(database.sink());
        let server = Server::start(vec![Act::Answer(NOTHING.into(), "stop", 1, 1)]).await;
        let plain = World::new(1, sink.clone(), unexplained(&recorded())).await;
        let incident = plain.run(&|| None).await;
        assert_eq!(outcome(&incident), Some(Outcome::Inconclusive));
        assert_eq!(
            (incident.status.as_ref().unwrap().usage.clone(), condition(&incident)),
            (None, None)
        );
        assert_eq!(accounts(database, &incident).await, [(0, 0, 0); 3]);

        let sure = World::new(2, sink, recorded().evidence).await;
        let before = sure.api.paths();
        let context = || {
            Arc::new((
                Arc::new(sure.context(Some(models(&server.url, 50)))),
                Backoff::default(),
            ))
        };
        reconcile(Arc::new(sure.incident()), context()).await.unwrap();
        let incident = sure.incident();
        assert_eq!(incident.status.as_ref().unwrap().phase, Phase::Planning);
        assert_eq!(
            (incident.status.as_ref().unwrap().usage.clone(), condition(&incident)),
            (None, None)
        );
        assert_eq!(
            sure.api.paths().len(),
            before.len() + 1,
            "the diagnosis alone was written"
        );
        assert_eq!(server.bodies().len(), 0);
    }))
    .await;
}
