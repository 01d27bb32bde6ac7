//! How a question to a Prometheus ended, as evidence: whole, cut, refused, not found, failed or late, like a command of a sandbox pod.
//!
//! Must never keep the answer itself, only what was read of it. Called by the operator's edge and the plugin.

use k8s_openapi::jiff::Timestamp;

use super::answer;
use super::query::Request;
use crate::api::Role;
use crate::incident::names::sha256;
use crate::sandbox::command::Command;
use crate::sandbox::evidence::{Evidence, EvidenceState};
use crate::sandbox::policy::PolicyRefusal;
use crate::sandbox::request::COMMAND_BYTES_MAX;
use crate::text::clip;

/// How the exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// An answer, whatever its status, read whole.
    Answered(u16, Vec<u8>),
    /// More bytes than are read.
    TooLarge,
    /// No answer in time.
    TimedOut,
    /// No connection, in the client's words.
    Failed(String),
    /// It was not asked.
    NotAsked(PolicyRefusal),
}

/// A question that was put.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Id of the evidence.
    pub id: String,
    /// Who asked.
    pub role: Role,
    /// What.
    pub command: Command,
    /// As it was sent; absent where it was not.
    pub request: Option<Request>,
}

/// The question's evidence.
pub fn evidence(asked: Asked, exchange: &Exchange, duration_ms: u64, at: Timestamp) -> Evidence {
    let (state, output) = read(exchange);
    Evidence {
        id: asked.id,
        agent: asked.role,
        command: asked.command,
        argv: asked.request.map(|request| request.argv()).unwrap_or_default(),
        state,
        exit_code: None,
        duration_ms,
        collected_at: at,
        sha256: sha256(output.as_bytes()),
        output,
    }
}

fn read(exchange: &Exchange) -> (EvidenceState, String) {
    match exchange {
        // Prometheus answers 400 and 422 in the form of its API, with its reason.
        Exchange::Answered(200 | 400 | 422 | 503, body) => match answer::parse(body) {
            Ok(answer) => {
                let (text, cut) = answer.keep(COMMAND_BYTES_MAX);
                let state = if cut {
                    EvidenceState::Truncated
                } else {
                    EvidenceState::Complete
                };
                (state, text)
            }
            Err(fault) => (EvidenceState::Failed, fault.to_string()),
        },
        Exchange::Answered(status @ (401 | 403), _) => (
            EvidenceState::Forbidden,
            format!("Prometheus answers HTTP {status}: the token is missing, wrong, or may not query"),
        ),
        Exchange::Answered(404, _) => (
            EvidenceState::NotFound,
            "HTTP 404: no Prometheus API below that URL".to_owned(),
        ),
        Exchange::Answered(status, _) => (EvidenceState::Failed, format!("Prometheus answers HTTP {status}")),
        Exchange::TooLarge => (
            EvidenceState::Failed,
            format!(
                "the answer is larger than {} bytes and was not read",
                super::ANSWER_BYTES_MAX
            ),
        ),
        Exchange::TimedOut => (
            EvidenceState::TimedOut,
            format!("no answer of Prometheus within {} ms", super::ANSWER_TIMEOUT_MS),
        ),
        Exchange::Failed(message) => (EvidenceState::Failed, clip(message, 300)),
        Exchange::NotAsked(refusal) => (EvidenceState::Forbidden, format!("refused by policy: {refusal}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_a_state_of_its_own_and_only_an_answer_is_complete() {
        let good = br#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#.to_vec();
        let bad = br#"{"status":"error","errorType":"bad_data","error":"unknown function"}"#.to_vec();
        for (exchange, state, words) in [
            (Exchange::Answered(200, good), EvidenceState::Complete, "series"),
            (Exchange::Answered(400, bad), EvidenceState::Failed, "bad_data"),
            (
                Exchange::Answered(200, b"<html>".to_vec()),
                EvidenceState::Failed,
                "base URL",
            ),
            (Exchange::Answered(401, Vec::new()), EvidenceState::Forbidden, "token"),
            (Exchange::Answered(404, Vec::new()), EvidenceState::NotFound, "URL"),
            (Exchange::Answered(302, Vec::new()), EvidenceState::Failed, "302"),
            (Exchange::TooLarge, EvidenceState::Failed, "larger"),
            (Exchange::TimedOut, EvidenceState::TimedOut, "within"),
            (
                Exchange::Failed("connection refused".into()),
                EvidenceState::Failed,
                "refused",
            ),
            (
                Exchange::NotAsked(PolicyRefusal::ForeignNamespace("x".into())),
                EvidenceState::Forbidden,
                "policy",
            ),
        ] {
            let (found, text) = read(&exchange);
            assert_eq!(found, state, "{exchange:?}");
            assert!(text.contains(words), "{text}");
        }
    }
}
