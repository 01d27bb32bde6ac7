//! The way to a model: configuration, client, breaker. Any endpoint that speaks OpenAI's chat completions.
//!
//! It must never retry what may have been paid for, hold the loop longer than it is told, or say a key. Called by
//! `incident::perform::consult` alone; without a configuration nothing here runs.

mod breaker;
mod client;
mod config;

pub use client::Models;
pub use config::{AnswerForm, ModelArgs, ModelConfig, ModelConfigError};
