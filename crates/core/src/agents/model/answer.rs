//! What comes back from a model: how the exchange ended, and the form that an answer must have to the letter. Called by `run`, `check`
//! and the operator's edge, which fills in the first half.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{AsRefStr, Display};

use crate::text::clip;

/// Longer answers are not read.
pub const ANSWER_BYTES: usize = 64 * 1024;

/// Why there is no answer. Closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, AsRefStr, Display)]
pub enum Failure {
    /// 429, until there was no time left.
    RateLimited,
    /// 5xx or no connection, until there was no time left.
    Unavailable,
    /// No answer in time.
    TimedOut,
    /// The key is missing, wrong, or may not.
    Unauthorized,
    /// The endpoint does not know the model.
    UnknownModel,
    /// The request is longer than the model reads.
    ContextTooSmall,
    /// The endpoint refuses the request for another reason.
    RequestRefused,
    /// More bytes than an answer may have.
    AnswerTooLarge,
    /// Not an answer of a chat completions endpoint.
    NotUnderstood,
    /// The breaker is open: the endpoint failed too often just now.
    CircuitOpen,
    /// A budget is spent.
    BudgetSpent,
    /// There is no Postgres that keeps budgets.
    NoBudgetStore,
    /// Begun before a restart; whether it was answered is not known, and it counts as spent.
    Lost,
}

/// How the exchange ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// A whole answer.
    Text(String),
    /// It stopped at the most tokens that it may have.
    Truncated(String),
    /// The model refuses, in its words.
    Refused(String),
    /// There is none.
    Failed(Failure),
}

/// Tokens as the provider counts them; as estimated, where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenUsage {
    /// Sent.
    pub prompt: u64,
    /// Received.
    pub completion: u64,
}

/// One exchange, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelAnswer {
    /// How it ended.
    pub outcome: Outcome,
    /// What it took.
    pub usage: TokenUsage,
    /// Which model said so.
    pub model: String,
}

/// Words of the cluster that a claim rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quote {
    /// Evidence id.
    pub id: String,
    /// Its words.
    pub quote: String,
}

/// An object of the incident's namespace, or a cluster-scoped one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// `Deployment`
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A claim of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaidClaim {
    /// About what.
    pub object: Named,
    /// In one sentence.
    pub claim: String,
    /// Resting on.
    pub evidence: Vec<Quote>,
}

/// What the model says of a finding of the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaidJudgement {
    /// `F1`
    pub finding: String,
    /// Why.
    pub why: String,
    /// Resting on.
    pub evidence: Vec<Quote>,
}

/// What may be asked for. Closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Wanted {
    /// `kubectl describe`.
    Describe,
    /// The log of a container.
    Logs,
    /// The log of its run before.
    PreviousLogs,
    /// `kubectl rollout history`.
    RolloutHistory,
}

/// Evidence that the model asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaidAsk {
    /// What.
    pub what: Wanted,
    /// Of which object.
    pub object: Named,
    /// Of which container; empty for what has none.
    pub container: String,
}

/// The answer, to the letter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// Claims that no finding makes.
    pub findings: Vec<SaidClaim>,
    /// Findings that the evidence bears out.
    pub confirms: Vec<SaidJudgement>,
    /// Findings that the evidence speaks against.
    pub refutes: Vec<SaidJudgement>,
    /// The cause, where the model sees one.
    pub hypothesis: Option<SaidClaim>,
    /// What cannot be known from this.
    pub unknowns: Vec<String>,
    /// What it wants to read.
    pub ask: Vec<SaidAsk>,
}

/// What is wrong with an answer's form: words of ours alone, as they are said back to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, AsRefStr, thiserror::Error)]
pub enum Malformed {
    /// Cut off.
    #[error("the answer stopped before its end; answer again, shorter")]
    Truncated,
    /// Too long.
    #[error("the answer is too long; answer again, shorter")]
    TooLong,
    /// No JSON in it.
    #[error("the answer is not one JSON object; answer again with the JSON object alone")]
    NotJson,
    /// Other fields or types.
    #[error("the answer does not have the fields and types of the schema; answer again with exactly those")]
    WrongSchema,
}

/// Reads an answer. Words around the JSON object are let pass; anything else within it is not.
pub fn parse(text: &str) -> Result<Said, Malformed> {
    if text.len() > ANSWER_BYTES {
        return Err(Malformed::TooLong);
    }
    let inner = text
        .find('{')
        .zip(text.rfind('}'))
        .and_then(|(from, to)| text.get(from..=to))
        .ok_or(Malformed::NotJson)?;
    let value: Value = serde_json::from_str(inner).map_err(|_| Malformed::NotJson)?;
    serde_json::from_value(value).map_err(|_| Malformed::WrongSchema)
}

/// The schema of `Said` in the strict subset that endpoints enforce: every field required, null instead of absent, no bounds. A test
/// compares the two.
pub fn schema() -> Value {
    let object = |properties: Value| {
        let required: Vec<String> = properties
            .as_object()
            .map(|map| map.keys().cloned().collect())
            .unwrap_or_default();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    };
    let list = |items: &Value| json!({"type": "array", "items": items});
    let text = json!({"type": "string"});
    let quote = object(json!({"id": text, "quote": text}));
    let named = object(json!({"kind": text, "name": text}));
    let claim = object(json!({"object": named, "claim": text, "evidence": list(&quote)}));
    let judgement = object(json!({"finding": text, "why": text, "evidence": list(&quote)}));
    let what = json!({"type": "string", "enum": ["describe", "logs", "previousLogs", "rolloutHistory"]});
    let ask = object(json!({"what": what, "object": named, "container": text}));
    object(json!({
        "findings": list(&claim),
        "confirms": list(&judgement),
        "refutes": list(&judgement),
        "hypothesis": {"anyOf": [claim, {"type": "null"}]},
        "unknowns": list(&text),
        "ask": list(&ask),
    }))
}

/// A refusal's words, for the record.
pub fn refusal(words: &str) -> String {
    format!("the model refused: {}", clip(words, 200))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn claim() -> SaidClaim {
        SaidClaim {
            object: Named {
                kind: "Pod".into(),
                name: "a".into(),
            },
            claim: "b".into(),
            evidence: vec![Quote {
                id: "E1".into(),
                quote: "c".into(),
            }],
        }
    }

    /// Whether a value is exactly of a schema, as far as `schema` uses JSON Schema.
    fn fits(value: &Value, schema: &Value) -> bool {
        if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
            return any.iter().any(|one| fits(value, one));
        }
        match schema.get("type").and_then(Value::as_str).unwrap() {
            "null" => value.is_null(),
            "string" => {
                value.is_string()
                    && schema
                        .get("enum")
                        .and_then(Value::as_array)
                        .is_none_or(|e| e.contains(value))
            }
            "array" => value
                .as_array()
                .is_some_and(|items| items.iter().all(|item| fits(item, &schema["items"]))),
            "object" => value.as_object().is_some_and(|map| {
                let properties = schema["properties"].as_object().unwrap();
                map.keys().eq(properties.keys()) && map.iter().all(|(key, item)| fits(item, &properties[key]))
            }),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_schema_is_the_form_of_an_answer() {
        let judgement = SaidJudgement {
            finding: "F1".into(),
            why: "d".into(),
            evidence: claim().evidence,
        };
        let said = Said {
            findings: vec![claim()],
            confirms: vec![judgement.clone()],
            refutes: vec![judgement],
            hypothesis: Some(claim()),
            unknowns: vec!["e".into()],
            ask: vec![SaidAsk {
                what: Wanted::PreviousLogs,
                object: claim().object,
                container: "app".into(),
            }],
        };
        assert!(fits(&serde_json::to_value(&said).unwrap(), &schema()));
        assert!(fits(&serde_json::to_value(Said::default()).unwrap(), &schema()));
    }

    #[test]
    fn an_answer_is_read_to_the_letter() {
        let text = serde_json::to_string(&Said::default()).unwrap();
        assert_eq!(
            parse(&format!("Here it is:\n```json\n{text}\n```")),
            Ok(Said::default())
        );
        assert_eq!(parse("I cannot help with that."), Err(Malformed::NotJson));
        assert_eq!(parse("{\"findings\": ["), Err(Malformed::NotJson));
        assert_eq!(
            parse(&text.replace("\"ask\":[]", "\"ask\":[],\"approved\":true")),
            Err(Malformed::WrongSchema)
        );
        assert_eq!(parse("{}"), Err(Malformed::WrongSchema));
        assert_eq!(parse(&"{".repeat(ANSWER_BYTES + 1)), Err(Malformed::TooLong));
    }
}
