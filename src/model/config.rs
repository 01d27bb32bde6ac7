//! What the operator is told about models, and the checks on it: whatever is wrong is said at the start, with field and remedy. Called
//! by `run`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use firewatch_core::agents::model::Tier;
use firewatch_core::agents::model::budget::{Amount, Micros, Price, Scope};
use firewatch_core::diagnosis::Confidence;

/// How an endpoint is asked for the form of an answer, from the strictest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum AnswerForm {
    /// A JSON schema that the endpoint enforces.
    Schema,
    /// JSON, the schema in words.
    Json,
    /// In words alone.
    Text,
}

/// Flags, each also an environment variable. Without `--model-url` no model is ever called.
#[derive(Args, Clone, Debug, Default)]
pub struct ModelArgs {
    /// Base URL of an endpoint that speaks OpenAI's chat completions, with its version: https://api.openai.com/v1
    #[arg(long, env = "FIREWATCH_MODEL_URL")]
    pub model_url: Option<String>,
    /// A second endpoint, for when the first fails.
    #[arg(long, env = "FIREWATCH_MODEL_FALLBACK_URL")]
    pub model_fallback_url: Option<String>,
    /// The model for what the rules have not solved.
    #[arg(long, env = "FIREWATCH_MODEL")]
    pub model: Option<String>,
    /// The model for what the rules have nearly solved; absent: the same.
    #[arg(long, env = "FIREWATCH_MODEL_CHEAP")]
    pub model_cheap: Option<String>,
    /// File that holds the key, mounted from a Secret. Absent: no key is sent.
    #[arg(long, env = "FIREWATCH_MODEL_KEY_FILE")]
    pub model_key_file: Option<PathBuf>,
    /// PEM file of a certificate authority to trust beside the usual ones.
    #[arg(long, env = "FIREWATCH_MODEL_CA_FILE")]
    pub model_ca_file: Option<PathBuf>,
    /// HTTP proxy.
    #[arg(long, env = "FIREWATCH_MODEL_PROXY")]
    pub model_proxy: Option<String>,
    /// How answers are asked for. Absent: found out with the first call, and remembered.
    #[arg(long, env = "FIREWATCH_MODEL_FORM")]
    pub model_form: Option<AnswerForm>,
    /// How long one call may take, in seconds.
    #[arg(long, env = "FIREWATCH_MODEL_TIMEOUT_SECONDS", default_value_t = 30)]
    pub model_timeout_seconds: u64,
    /// US dollars for a million tokens, sent and received, of each model: `name=0.15/0.60,other=0/0`.
    #[arg(long, env = "FIREWATCH_MODEL_PRICES")]
    pub model_prices: Option<String>,
    /// Tokens that one incident may take.
    #[arg(long, env = "FIREWATCH_MODEL_TOKENS_PER_INCIDENT", default_value_t = 12_000)]
    pub model_tokens_per_incident: u64,
    /// US dollars that one incident may take.
    #[arg(long, env = "FIREWATCH_MODEL_USD_PER_INCIDENT", default_value = "0.10")]
    pub model_usd_per_incident: String,
    /// US dollars that one namespace may take in a day.
    #[arg(long, env = "FIREWATCH_MODEL_USD_PER_NAMESPACE_DAY", default_value = "1")]
    pub model_usd_per_namespace_day: String,
    /// US dollars that the cluster may take in a day.
    #[arg(long, env = "FIREWATCH_MODEL_USD_PER_CLUSTER_DAY", default_value = "5")]
    pub model_usd_per_cluster_day: String,
    /// From this confidence of the rules on no model is asked, in hundredths.
    #[arg(long, env = "FIREWATCH_MODEL_SURE", default_value_t = 85, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub model_sure: u8,
}

/// What is wrong with the flags. Never repeats a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelConfigError {
    /// There is a URL and no model.
    #[error("--model-url is set and --model is not: name the model, or take the URL away")]
    NoModel,
    /// A model has no price.
    #[error(
        "--model-prices does not name {0}: add {0}=SENT/RECEIVED in dollars for a million tokens (0/0 where it is free)"
    )]
    NoPrice(String),
    /// A value cannot be read.
    #[error("{flag}: {value:?} is not {wanted}")]
    Malformed {
        /// Which flag.
        flag: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// A file cannot be read or used.
    #[error("{flag}: {message}")]
    File {
        /// Which flag.
        flag: &'static str,
        /// Why.
        message: String,
    },
}

/// The flags, checked.
#[derive(Clone)]
pub struct ModelConfig {
    /// Endpoints, in the order in which they are tried.
    pub urls: Vec<String>,
    /// Model of each tier.
    pub models: BTreeMap<Tier, String>,
    /// Price of each model.
    pub prices: BTreeMap<String, Price>,
    /// What is sent as the key.
    pub key: Option<String>,
    /// PEM.
    pub ca: Option<Vec<u8>>,
    /// URL.
    pub proxy: Option<String>,
    /// How answers are asked for, where it is not to be found out.
    pub form: Option<AnswerForm>,
    /// For one call.
    pub timeout: Duration,
    /// What each account may bear.
    pub limits: BTreeMap<Scope, Amount>,
    /// From here on no model is asked.
    pub sure: Confidence,
}

fn dollars(flag: &'static str, value: &str) -> Result<Micros, ModelConfigError> {
    Micros::parse(value).ok_or_else(|| ModelConfigError::Malformed {
        flag,
        value: value.to_owned(),
        wanted: "an amount of dollars with at most six decimals",
    })
}

fn prices(text: &str) -> Result<BTreeMap<String, Price>, ModelConfigError> {
    let malformed = |entry: &str| ModelConfigError::Malformed {
        flag: "--model-prices",
        value: entry.to_owned(),
        wanted: "NAME=SENT/RECEIVED, in dollars for a million tokens",
    };
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            // A model's name may hold an equals sign; its price does not.
            let (name, price) = entry.rsplit_once('=').ok_or_else(|| malformed(entry))?;
            let (sent, received) = price.split_once('/').ok_or_else(|| malformed(entry))?;
            let price = Price {
                prompt: Micros::parse(sent).ok_or_else(|| malformed(entry))?,
                completion: Micros::parse(received).ok_or_else(|| malformed(entry))?,
            };
            Ok((name.trim().to_owned(), price))
        })
        .collect()
}

impl ModelConfig {
    /// From the flags; none where no model is configured.
    pub fn from_args(args: &ModelArgs) -> Result<Option<Self>, ModelConfigError> {
        let Some(url) = args.model_url.as_deref().filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let named = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
        let standard = named(&args.model).ok_or(ModelConfigError::NoModel)?;
        let cheap = named(&args.model_cheap).unwrap_or_else(|| standard.clone());
        let mut urls = Vec::new();
        for (flag, url) in [
            ("--model-url", Some(url)),
            (
                "--model-fallback-url",
                args.model_fallback_url.as_deref().filter(|url| !url.is_empty()),
            ),
        ] {
            let Some(url) = url else { continue };
            if !(url.starts_with("https://") || url.starts_with("http://")) {
                return Err(ModelConfigError::Malformed {
                    flag,
                    value: url.to_owned(),
                    wanted: "a URL that begins with https:// or http://",
                });
            }
            urls.push(url.trim_end_matches('/').to_owned());
        }
        let prices = prices(args.model_prices.as_deref().unwrap_or_default())?;
        for model in [&standard, &cheap] {
            if !prices.contains_key(model) {
                return Err(ModelConfigError::NoPrice(model.clone()));
            }
        }
        let read = |flag: &'static str, path: &PathBuf| {
            std::fs::read(path).map_err(|error| ModelConfigError::File {
                flag,
                message: format!("{}: {error}", path.display()),
            })
        };
        let key = match &args.model_key_file {
            Some(path) => {
                let bytes = read("--model-key-file", path)?;
                let text = String::from_utf8(bytes).unwrap_or_default().trim().to_owned();
                if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
                    return Err(ModelConfigError::File {
                        flag: "--model-key-file",
                        message: format!("{} holds no key: put the key alone into it", path.display()),
                    });
                }
                Some(text)
            }
            None => None,
        };
        let ca = match &args.model_ca_file {
            Some(path) => Some(read("--model-ca-file", path)?),
            None => None,
        };
        let day = |cost: Micros| Amount { tokens: u64::MAX, cost };
        let limits = BTreeMap::from([
            (
                Scope::Incident,
                Amount {
                    tokens: args.model_tokens_per_incident,
                    cost: dollars("--model-usd-per-incident", &args.model_usd_per_incident)?,
                },
            ),
            (
                Scope::NamespaceDay,
                day(dollars(
                    "--model-usd-per-namespace-day",
                    &args.model_usd_per_namespace_day,
                )?),
            ),
            (
                Scope::ClusterDay,
                day(dollars("--model-usd-per-cluster-day", &args.model_usd_per_cluster_day)?),
            ),
        ]);
        Ok(Some(Self {
            urls,
            models: BTreeMap::from([(Tier::Cheap, cheap), (Tier::Standard, standard)]),
            prices,
            key,
            ca,
            proxy: args.model_proxy.clone().filter(|proxy| !proxy.is_empty()),
            form: args.model_form,
            timeout: Duration::from_secs(args.model_timeout_seconds.clamp(1, 120)),
            limits,
            sure: Confidence::hundredths(args.model_sure),
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn args() -> ModelArgs {
        ModelArgs {
            model_url: Some("https://models.example/v1/".into()),
            model: Some("large".into()),
            model_prices: Some("large=2.5/10, small=0/0".into()),
            model_timeout_seconds: 30,
            model_tokens_per_incident: 12_000,
            model_usd_per_incident: "0.10".into(),
            model_usd_per_namespace_day: "1".into(),
            model_usd_per_cluster_day: "5".into(),
            model_sure: 85,
            ..ModelArgs::default()
        }
    }

    #[test]
    fn without_a_url_there_is_no_model() {
        assert!(ModelConfig::from_args(&ModelArgs::default()).unwrap().is_none());
    }

    #[test]
    fn a_model_of_each_tier_has_a_price() {
        let config = ModelConfig::from_args(&args()).unwrap().unwrap();
        assert_eq!(config.urls, ["https://models.example/v1"]);
        assert_eq!(config.models[&Tier::Cheap], "large");
        assert_eq!(config.prices["large"].completion, Micros(10_000_000));
        let unpriced = ModelArgs {
            model_cheap: Some("tiny".into()),
            ..args()
        };
        let error = ModelConfig::from_args(&unpriced).err().unwrap();
        assert!(error.to_string().contains("tiny=SENT/RECEIVED"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (wrong, flag) in [
            (ModelArgs { model: None, ..args() }, "--model "),
            (
                ModelArgs {
                    model_url: Some("models.example".into()),
                    ..args()
                },
                "--model-url",
            ),
            (
                ModelArgs {
                    model_prices: Some("large=cheap".into()),
                    ..args()
                },
                "--model-prices",
            ),
            (
                ModelArgs {
                    model_usd_per_incident: "a lot".into(),
                    ..args()
                },
                "--model-usd-per-incident",
            ),
            (
                ModelArgs {
                    model_key_file: Some("/nowhere/key".into()),
                    ..args()
                },
                "--model-key-file",
            ),
        ] {
            let error = ModelConfig::from_args(&wrong).err().unwrap().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}
