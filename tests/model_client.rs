//! The client against an endpoint that does everything wrong, one thing at a time. Every request's body is looked at.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "model/server.rs"]
mod server;

use std::time::Duration;

use firewatch::model::{AnswerForm, ModelArgs, ModelConfig, Models};
use firewatch_core::agents::model::{Failure, Message, ModelAnswer, ModelRequest, Outcome, Speaker, Tier};
use firewatch_core::api::Role;
use serde_json::json;
use server::{Act, Server};

fn request() -> ModelRequest {
    ModelRequest {
        role: Role::SreInvestigator,
        turn: 1,
        tier: Tier::Standard,
        messages: vec![
            Message {
                role: Speaker::System,
                content: "what to do".into(),
            },
            Message {
                role: Speaker::User,
                content: "the case".into(),
            },
        ],
        schema: json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false}),
        max_tokens: 600,
        prompt: "v1".into(),
        estimated_tokens: 10,
        shown: Vec::new(),
    }
}

fn models(urls: &[&str], key: Option<&std::path::Path>) -> Models {
    // Another test of this program may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Models::new(config(urls, key)).unwrap()
}

fn config(urls: &[&str], key: Option<&std::path::Path>) -> ModelConfig {
    let args = ModelArgs {
        model_url: Some(urls[0].to_owned()),
        model_fallback_url: urls.get(1).map(|url| (*url).to_owned()),
        model: Some("scripted".into()),
        model_prices: Some("scripted=1/2".into()),
        model_key_file: key.map(Into::into),
        model_timeout_seconds: 1,
        model_tokens_per_incident: 12_000,
        model_usd_per_incident: "1".into(),
        model_usd_per_namespace_day: "1".into(),
        model_usd_per_cluster_day: "1".into(),
        model_sure: 85,
        ..ModelArgs::default()
    };
    ModelConfig::from_args(&args).unwrap().unwrap()
}

async fn one(script: Vec<Act>) -> (ModelAnswer, Server) {
    let server = Server::start(script).await;
    let answer = models(&[&server.url], None)
        .call(&request(), Duration::from_secs(8))
        .await;
    (answer, server)
}

fn fine() -> Act {
    Act::Answer("{}".into(), "stop", 90, 7)
}

#[tokio::test]
async fn a_request_holds_the_model_the_schema_the_limit_and_no_stream() {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "key-of-a-test\n").unwrap();
    let server = Server::start(vec![fine()]).await;
    let answer = models(&[&server.url], Some(key.path()))
        .call(&request(), Duration::from_secs(5))
        .await;
    assert_eq!(answer.outcome, Outcome::Text("{}".into()));
    assert_eq!((answer.usage.prompt, answer.usage.completion), (90, 7));
    let bodies = server.bodies();
    assert_eq!(bodies.len(), 1);
    assert_eq!(
        bodies[0],
        json!({
            "model": "scripted",
            "messages": [{"role": "system", "content": "what to do"}, {"role": "user", "content": "the case"}],
            "stream": false,
            "max_tokens": 600,
            "response_format": {"type": "json_schema", "json_schema": {"name": "report", "strict": true, "schema": request().schema}}
        })
    );
    assert!(server.heads()[0].contains("authorization: bearer key-of-a-test"));
}

#[tokio::test]
async fn what_the_endpoint_does_not_know_is_said_in_another_way_and_remembered() {
    let server = Server::start(vec![
        Act::Status(
            400,
            json!({"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}})
                .to_string(),
        ),
        Act::Status(
            400,
            json!({"error": {"message": "response_format of type json_schema is not supported"}}).to_string(),
        ),
        Act::Status(422, json!({"error": "json_object: unknown variant"}).to_string()),
        fine(),
    ])
    .await;
    let models = models(&[&server.url], None);
    assert_eq!(
        models.call(&request(), Duration::from_secs(5)).await.outcome,
        Outcome::Text("{}".into())
    );
    assert_eq!(
        models.call(&request(), Duration::from_secs(5)).await.outcome,
        Outcome::Text("{}".into())
    );
    let bodies = server.bodies();
    assert_eq!(bodies.len(), 5, "asked four times once, and once ever after");
    assert_eq!(bodies[2]["response_format"], json!({"type": "json_object"}));
    for body in &bodies[3..] {
        assert_eq!(body["max_completion_tokens"], 600);
        assert_eq!((body.get("max_tokens"), body.get("response_format")), (None, None));
        let told = body["messages"][0]["content"].as_str().unwrap();
        let schema = request().schema.to_string();
        assert!(
            told.starts_with("what to do") && told.ends_with(&schema),
            "the schema is said in words: {told}"
        );
    }
}

#[tokio::test]
async fn every_way_of_going_wrong_has_its_own_reason() {
    let error = |message: &str| json!({"error": {"message": message, "type": "x"}}).to_string();
    let cases = [
        (Act::Status(401, error("wrong key")), Failure::Unauthorized, 1),
        (Act::Status(403, String::new()), Failure::Unauthorized, 1),
        (Act::Status(404, error("no such model")), Failure::UnknownModel, 1),
        (
            Act::Status(400, error("maximum context length is 2048")),
            Failure::ContextTooSmall,
            1,
        ),
        (Act::Status(400, error("no")), Failure::RequestRefused, 1),
        (
            Act::Status(400, error("response_format is wrong")),
            Failure::RequestRefused,
            3,
        ),
        (Act::Status(504, error("upstream timed out")), Failure::TimedOut, 1),
        (Act::Status(429, error("slow down")), Failure::RateLimited, 4),
        (
            Act::Status(502, "<html>Bad Gateway</html>".into()),
            Failure::Unavailable,
            4,
        ),
        (Act::Body("<html>login</html>".into()), Failure::NotUnderstood, 1),
        (Act::Body("{}".into()), Failure::NotUnderstood, 1),
        (Act::Body("x".repeat(1_000_000)), Failure::AnswerTooLarge, 1),
        (Act::Hang, Failure::TimedOut, 1),
        (Act::StreamForever, Failure::AnswerTooLarge, 1),
        (Act::Break, Failure::TimedOut, 1),
    ];
    for (act, failure, calls) in cases {
        let what = format!("{act:?}").chars().take(60).collect::<String>();
        let (answer, server) = one(vec![act]).await;
        assert_eq!(answer.outcome, Outcome::Failed(failure), "{what}");
        assert_eq!(
            server.bodies().len(),
            calls,
            "{what}: what may have been paid for is not sent twice"
        );
        let may_be_billed = matches!(
            failure,
            Failure::TimedOut | Failure::AnswerTooLarge | Failure::NotUnderstood
        );
        let reserved = request().reserved_prompt_tokens();
        assert_eq!(
            (answer.usage.prompt, answer.usage.completion),
            if may_be_billed { (reserved, 600) } else { (0, 0) },
            "{what}: counted as spent only where it may have been billed"
        );
    }
}

#[tokio::test]
async fn an_answer_that_stops_or_refuses_is_told_apart() {
    let (answer, _) = one(vec![Act::Answer("{\"findings\":".into(), "length", 90, 600)]).await;
    assert_eq!(answer.outcome, Outcome::Truncated("{\"findings\":".into()));
    let (answer, _) = one(vec![Act::Refuse("I cannot help with that.")]).await;
    assert_eq!(answer.outcome, Outcome::Refused("I cannot help with that.".into()));
    let (answer, _) = one(vec![Act::Answer(String::new(), "content_filter", 90, 0)]).await;
    assert!(matches!(answer.outcome, Outcome::Refused(_)));
}

#[tokio::test]
async fn a_rate_limit_that_passes_is_waited_for() {
    let (answer, server) = one(vec![
        Act::Status(429, String::new()),
        Act::Status(503, String::new()),
        fine(),
    ])
    .await;
    assert_eq!(answer.outcome, Outcome::Text("{}".into()));
    assert_eq!(server.bodies().len(), 3);
}

#[tokio::test]
async fn a_second_endpoint_answers_where_the_first_fails_and_the_first_is_then_left_alone() {
    let broken = Server::start(vec![Act::Status(500, String::new())]).await;
    let sound = Server::start(vec![fine()]).await;
    let models = models(&[&broken.url, &sound.url], None);
    for _ in 0..6 {
        let answer = models.call(&request(), Duration::from_secs(5)).await;
        assert_eq!(answer.outcome, Outcome::Text("{}".into()));
    }
    assert_eq!(sound.bodies().len(), 6);
    assert_eq!(broken.bodies().len(), 4, "the breaker opened");
}

#[tokio::test]
async fn a_provider_that_bills_more_than_it_was_asked_for_is_counted_as_it_bills() {
    let (answer, server) = one(vec![Act::Answer("{}".into(), "stop", 50_000, 9_000)]).await;
    let models = models(&[&server.url], None);
    assert_eq!(answer.usage.prompt, 50_000);
    let billed = models
        .price_of(&request())
        .of(answer.usage.prompt, answer.usage.completion);
    assert!(billed > models.reservation(&request()).cost);
}

#[tokio::test]
async fn how_answers_are_asked_for_can_be_fixed() {
    let server = Server::start(vec![fine()]).await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ModelConfig {
        form: Some(AnswerForm::Text),
        ..config(&[&server.url], None)
    };
    Models::new(config)
        .unwrap()
        .call(&request(), Duration::from_secs(5))
        .await;
    assert_eq!(server.bodies()[0].get("response_format"), None);
}

#[tokio::test]
async fn where_every_endpoint_is_left_alone_nothing_is_sent_and_nobody_waits() {
    let broken = Server::start(vec![Act::Status(500, String::new())]).await;
    let models = models(&[&broken.url], None);
    let first = models.call(&request(), Duration::from_secs(20)).await;
    assert_eq!(first.outcome, Outcome::Failed(Failure::Unavailable));
    let next = models.call(&request(), Duration::from_secs(20)).await;
    assert_eq!(next.outcome, Outcome::Failed(Failure::CircuitOpen));
    assert_eq!(broken.bodies().len(), 4);
}
