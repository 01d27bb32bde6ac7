//! One exchange with a model, by async-openai without its hidden retries. It ends in time, whatever the endpoint does; what the endpoint
//! cannot do (a strict schema, a name of a parameter) is found out once and remembered. What may have been paid for is never sent twice:
//! only a refusal that no provider bills (429, 5xx before an answer, no connection) is tried again.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use firewatch_core::agents::model::answer::{ANSWER_BYTES, TokenUsage};
use firewatch_core::agents::model::budget::{Amount, Price};
use firewatch_core::agents::model::{Failure, ModelAnswer, ModelRequest, Outcome, tokens};
use serde_json::{Value, json};

use super::breaker::Breaker;
use super::config::{AnswerForm, ModelConfig, ModelConfigError};

/// An answer with its frame is at most this.
const BODY_BYTES: usize = ANSWER_BYTES * 4;
/// Tries of one exchange.
const TRIES: u32 = 4;
/// The first pause between two.
const PAUSE: Duration = Duration::from_millis(400);

/// The endpoint's refusal, as it was read.
#[derive(Debug, thiserror::Error)]
#[error("HTTP {status}")]
struct Refused {
    status: u16,
    body: String,
}

/// More than an answer may have.
#[derive(Debug, thiserror::Error)]
#[error("the answer is too large")]
struct TooLarge;

/// What an endpoint cannot do, as far as it has said so.
#[derive(Debug, Default)]
struct Dialect {
    fixed: Option<AnswerForm>,
    form: AtomicU8,
    completion_tokens: AtomicBool,
}

/// How one request is said.
#[derive(Clone, Copy, Debug)]
struct Spoken {
    form: AnswerForm,
    completion_tokens: bool,
}

impl Dialect {
    fn spoken(&self) -> Spoken {
        Spoken {
            form: self.fixed.unwrap_or(match self.form.load(Ordering::Relaxed) {
                0 => AnswerForm::Schema,
                1 => AnswerForm::Json,
                _ => AnswerForm::Text,
            }),
            completion_tokens: self.completion_tokens.load(Ordering::Relaxed),
        }
    }

    /// Whether a refusal names something that can be said in another way, which is remembered.
    fn learn(&self, said: Spoken, refusal: &str) -> bool {
        let refusal = refusal.to_ascii_lowercase();
        let limit = refusal.contains("max_completion_tokens")
            || (refusal.contains("max_tokens") && refusal.contains("unsupported"));
        if limit && !said.completion_tokens {
            self.completion_tokens.store(true, Ordering::Relaxed);
            return true;
        }
        let form = ["response_format", "json_schema", "json_object", "structured output"];
        if self.fixed.is_none() && form.iter().any(|word| refusal.contains(word)) {
            let next = match said.form {
                AnswerForm::Schema => 1,
                AnswerForm::Json => 2,
                AnswerForm::Text => return false,
            };
            self.form.fetch_max(next, Ordering::Relaxed);
            return true;
        }
        false
    }
}

struct Endpoint {
    client: Client<OpenAIConfig>,
    breaker: Breaker,
    dialect: Dialect,
}

/// The way to all models.
pub struct Models {
    endpoints: Vec<Endpoint>,
    /// What was configured.
    pub config: ModelConfig,
}

/// Reads an answer whole, up to what it may have, and turns every refusal into one that says its status.
async fn exchange(http: reqwest::Client, request: HttpRequestFactory) -> Result<reqwest::Response, OpenAIError> {
    let request = request.build().await?;
    let mut response = http.execute(request).await.map_err(OpenAIError::Reqwest)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(OpenAIError::Reqwest)? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY_BYTES {
            return Err(OpenAIError::Boxed(Box::new(TooLarge)));
        }
    }
    if !status.is_success() {
        return Err(OpenAIError::Boxed(Box::new(Refused {
            status: status.as_u16(),
            body: String::from_utf8_lossy(&body).chars().take(2000).collect(),
        })));
    }
    let mut whole = http::Response::new(body);
    *whole.status_mut() = status;
    Ok(reqwest::Response::from(whole))
}

impl Models {
    /// Clients for every endpoint.
    pub fn new(config: ModelConfig) -> Result<Self, ModelConfigError> {
        let file = |flag: &'static str| {
            move |error: reqwest::Error| ModelConfigError::File {
                flag,
                message: error.to_string(),
            }
        };
        let mut http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(pem) = &config.ca {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(file("--model-ca-file"))?;
            for certificate in certificates {
                http = http.add_root_certificate(certificate);
            }
        }
        if let Some(proxy) = &config.proxy {
            http = http.proxy(reqwest::Proxy::all(proxy).map_err(file("--model-proxy"))?);
        }
        let http = http.build().map_err(file("--model-url"))?;
        let endpoints = config
            .urls
            .iter()
            .map(|url| {
                let http = http.clone();
                let base = OpenAIConfig::new()
                    .with_api_base(url.clone())
                    .with_api_key(config.key.clone().unwrap_or_default());
                let service = tower::service_fn(move |request| exchange(http.clone(), request));
                Endpoint {
                    client: Client::with_config(base).with_http_service(service),
                    breaker: Breaker::default(),
                    dialect: Dialect {
                        fixed: config.form,
                        ..Dialect::default()
                    },
                }
            })
            .collect();
        Ok(Self { endpoints, config })
    }

    /// The model that a request is for.
    pub fn model_of(&self, request: &ModelRequest) -> &str {
        self.config.models.get(&request.tier).map_or("", String::as_str)
    }

    /// What a request's model costs.
    pub fn price_of(&self, request: &ModelRequest) -> Price {
        self.config
            .prices
            .get(self.model_of(request))
            .copied()
            .unwrap_or_default()
    }

    /// What is reserved before a request is sent.
    pub fn reservation(&self, request: &ModelRequest) -> Amount {
        let sent = request.reserved_prompt_tokens();
        let received = u64::from(request.max_tokens);
        Amount {
            tokens: sent.saturating_add(received),
            cost: self.price_of(request).of(sent, received),
        }
    }

    /// Carries a request out within `most`. Whatever goes wrong is part of the answer.
    pub async fn call(&self, request: &ModelRequest, most: Duration) -> ModelAnswer {
        let begun = Instant::now();
        let model = self.model_of(request).to_owned();
        let ended = |outcome: Outcome, usage: TokenUsage| ModelAnswer {
            outcome,
            usage,
            model: model.clone(),
        };
        let mut failure = Failure::CircuitOpen;
        let mut pause = PAUSE;
        // What may have been answered and billed counts as spent, as it was reserved.
        let whole = TokenUsage {
            prompt: request.reserved_prompt_tokens(),
            completion: u64::from(request.max_tokens),
        };
        for attempt in 0..TRIES {
            let mut tried = false;
            for endpoint in &self.endpoints {
                let left = most.saturating_sub(begun.elapsed());
                if left.is_zero() {
                    return ended(Outcome::Failed(Failure::TimedOut), TokenUsage::default());
                }
                if !endpoint.breaker.admits(Instant::now()) {
                    continue;
                }
                tried = true;
                let result =
                    tokio::time::timeout(left.min(self.config.timeout), Box::pin(endpoint.once(request, &model)))
                        .await
                        .unwrap_or(Err(Failure::TimedOut));
                let reachable = !matches!(&result, Err(Failure::Unavailable | Failure::TimedOut));
                endpoint.breaker.note(reachable, Instant::now());
                match result {
                    Ok((outcome, usage)) => return ended(outcome, usage),
                    Err(again @ (Failure::RateLimited | Failure::Unavailable)) => failure = again,
                    Err(unread @ (Failure::TimedOut | Failure::AnswerTooLarge | Failure::NotUnderstood)) => {
                        return ended(Outcome::Failed(unread), whole);
                    }
                    Err(other) => return ended(Outcome::Failed(other), TokenUsage::default()),
                }
            }
            if !tried {
                break;
            }
            if attempt.saturating_add(1) < TRIES {
                let wait = pause.saturating_add(jitter(pause));
                if begun.elapsed().saturating_add(wait) >= most {
                    break;
                }
                tokio::time::sleep(wait).await;
                pause = pause.saturating_mul(2);
            }
        }
        ended(Outcome::Failed(failure), TokenUsage::default())
    }
}

/// Up to half of a pause, so that many who wait do not come back together.
fn jitter(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() % 1000;
    let share = u32::try_from(random).unwrap_or(0);
    pause.saturating_mul(share) / 2000
}

impl Endpoint {
    /// One exchange, again only where the endpoint does not know a word of the request.
    async fn once(&self, request: &ModelRequest, model: &str) -> Result<(Outcome, TokenUsage), Failure> {
        for _ in 0..4 {
            let said = self.dialect.spoken();
            let answer: Result<Value, OpenAIError> = self.client.chat().create_byot(body(request, model, said)).await;
            match answer {
                Ok(value) => return read(&value, request),
                Err(error) => {
                    let learned = refusal(&error).is_some_and(|refused| {
                        matches!(refused.status, 400 | 422) && self.dialect.learn(said, &refused.body)
                    });
                    if !learned {
                        return Err(failure(&error));
                    }
                }
            }
        }
        Err(Failure::RequestRefused)
    }
}

fn body(request: &ModelRequest, model: &str, said: Spoken) -> Value {
    let mut messages = request.messages.clone();
    if said.form != AnswerForm::Schema
        && let Some(first) = messages.first_mut()
    {
        // What the endpoint does not enforce is said in words; the answer is checked all the same.
        first
            .content
            .push_str("\nIt is of this JSON Schema, with nothing before or after it: ");
        first.content.push_str(&request.schema.to_string());
    }
    let mut body = json!({"model": model, "messages": messages, "stream": false});
    if let Some(map) = body.as_object_mut() {
        let most = if said.completion_tokens {
            "max_completion_tokens"
        } else {
            "max_tokens"
        };
        map.insert(most.to_owned(), request.max_tokens.into());
        let schema = || json!({"name": "report", "strict": true, "schema": request.schema});
        let format = match said.form {
            AnswerForm::Schema => json!({"type": "json_schema", "json_schema": schema()}),
            AnswerForm::Json => json!({"type": "json_object"}),
            AnswerForm::Text => return body,
        };
        map.insert("response_format".to_owned(), format);
    }
    body
}

fn refusal(error: &OpenAIError) -> Option<&Refused> {
    match error {
        OpenAIError::Boxed(inner) => inner.downcast_ref(),
        _ => None,
    }
}

/// A closed reason for every way in which an exchange goes wrong.
fn failure(error: &OpenAIError) -> Failure {
    if let Some(refused) = refusal(error) {
        let body = refused.body.to_ascii_lowercase();
        return match refused.status {
            401 | 403 => Failure::Unauthorized,
            404 => Failure::UnknownModel,
            413 => Failure::ContextTooSmall,
            429 => Failure::RateLimited,
            400 | 422
                if ["context length", "context_length", "maximum context", "too long"]
                    .iter()
                    .any(|w| body.contains(w)) =>
            {
                Failure::ContextTooSmall
            }
            400 | 422 if body.contains("model") && (body.contains("not found") || body.contains("does not exist")) => {
                Failure::UnknownModel
            }
            // A gateway gave up waiting: the model behind it may have answered, and bills.
            408 | 504 => Failure::TimedOut,
            500..=599 => Failure::Unavailable,
            _ => Failure::RequestRefused,
        };
    }
    match error {
        OpenAIError::Boxed(inner) if inner.is::<TooLarge>() => Failure::AnswerTooLarge,
        OpenAIError::Reqwest(error) if error.is_timeout() && !error.is_connect() => Failure::TimedOut,
        OpenAIError::Reqwest(error) if error.is_connect() => Failure::Unavailable,
        // The connection broke after the request was sent: it may have been answered and billed.
        OpenAIError::Reqwest(_) => Failure::TimedOut,
        _ => Failure::NotUnderstood,
    }
}

/// Reads a chat completion, as far as it is one.
fn read(value: &Value, request: &ModelRequest) -> Result<(Outcome, TokenUsage), Failure> {
    let choice = value.pointer("/choices/0").ok_or(Failure::NotUnderstood)?;
    let text = |pointer: &str| {
        choice
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let content = text("/message/content");
    let refusal = text("/message/refusal");
    let count = |name: &str| value.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
    let usage = TokenUsage {
        // A provider that does not count is counted for.
        prompt: count("prompt_tokens").unwrap_or_else(|| request.reserved_prompt_tokens()),
        completion: count("completion_tokens").unwrap_or_else(|| tokens::estimate(&content)),
    };
    let outcome = match text("/finish_reason").as_str() {
        _ if !refusal.is_empty() => Outcome::Refused(refusal),
        "content_filter" => Outcome::Refused("the provider's filter stopped the answer".to_owned()),
        "length" => Outcome::Truncated(content),
        _ if content.len() > ANSWER_BYTES => Outcome::Failed(Failure::AnswerTooLarge),
        _ => Outcome::Text(content),
    };
    Ok((outcome, usage))
}
