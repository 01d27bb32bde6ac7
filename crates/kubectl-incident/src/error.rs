//! What can go wrong, as a closed set: each error says what was tried, why it did not work and what to do about it.
//!
//! Never a panic and never a bare message of a library. Made everywhere in this crate, printed by `main` alone.

use crate::exit;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable kubeconfig.
    #[error("no usable kubeconfig: {0}. Name one with --kubeconfig or KUBECONFIG, and a context in it with --context")]
    Config(String),
    /// kubectl itself cannot be started.
    #[error("kubectl cannot be started: {0}. Install it, or put it on the PATH")]
    NoKubectl(String),
    /// The API server did not answer.
    #[error(
        "{doing}: the API server does not answer ({cause}). Check the cluster of your context, or name another with --context"
    )]
    Unreachable {
        /// What was tried.
        doing: String,
        /// What the connection said.
        cause: String,
    },
    /// The kinds of Firewatch are not installed.
    #[error(
        "{doing}: this cluster does not know the kinds of firewatch.dev. Install Firewatch first: helm install firewatch charts/firewatch -n firewatch-system --create-namespace"
    )]
    NotInstalled {
        /// What was tried.
        doing: String,
    },
    /// The object does not exist.
    #[error("{what} not found. {remedy}")]
    NotFound {
        /// What was looked for.
        what: String,
        /// Where else to look.
        remedy: String,
    },
    /// RBAC or admission said no.
    #[error("{doing}: refused by the API server: {message}")]
    Refused {
        /// What was tried.
        doing: String,
        /// The server's own words, which name the field.
        message: String,
    },
    /// Any other answer of the API server.
    #[error("{doing}: {message}")]
    Api {
        /// What was tried.
        doing: String,
        /// The server's own words.
        message: String,
    },
    /// The request makes no sense as things stand.
    #[error("{0}")]
    State(String),
    /// The plan as stored is not the plan as rendered again from its typed actions.
    #[error("{0}")]
    PlanMismatch(String),
    /// A file or argument is wrong.
    #[error("{0}")]
    Input(String),
    /// It took too long.
    #[error("{0}")]
    TimedOut(String),
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// Output could not be written.
    #[error("could not write the output: {0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// Closed reason, for `-o json` and for scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Config(_) => "NoKubeconfig",
            Self::NoKubectl(_) => "NoKubectl",
            Self::Unreachable { .. } => "Unreachable",
            Self::NotInstalled { .. } => "NotInstalled",
            Self::NotFound { .. } => "NotFound",
            Self::Refused { .. } => "Refused",
            Self::Api { .. } => "ApiError",
            Self::State(_) => "WrongState",
            Self::PlanMismatch(_) => "PlanMismatch",
            Self::Input(_) => "BadInput",
            Self::TimedOut(_) => "TimedOut",
            Self::Interrupted => "Interrupted",
            Self::Output(_) => "OutputFailed",
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) => exit::USAGE,
            Self::NotFound { .. } => exit::NOT_FOUND,
            Self::Refused { .. } => exit::REFUSED,
            Self::PlanMismatch(_) => exit::PLAN_MISMATCH,
            Self::State(_) => exit::WRONG_STATE,
            Self::TimedOut(_) => exit::TIMED_OUT,
            Self::Interrupted => exit::INTERRUPTED,
            Self::Config(_)
            | Self::NoKubectl(_)
            | Self::Unreachable { .. }
            | Self::NotInstalled { .. }
            | Self::Api { .. }
            | Self::Output(_) => exit::ERROR,
        }
    }

    /// Turns an answer of the API server into one of the reasons above. `doing` completes "could not …".
    pub fn from_kube(doing: impl Into<String>, error: &kube::Error) -> Self {
        let doing = format!("could not {}", doing.into());
        match error {
            kube::Error::Api(status) => {
                let names_object = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
                match status.code {
                    404 if names_object => Self::NotFound {
                        what: status.message.trim_end_matches(" not found").to_owned(),
                        remedy: "`kubectl incident list -A` shows what there is; -n names another namespace".to_owned(),
                    },
                    404 => Self::NotInstalled { doing },
                    401 | 403 | 409 | 422 => Self::Refused {
                        doing,
                        message: status.message.clone(),
                    },
                    _ => Self::Api {
                        doing,
                        message: status.message.clone(),
                    },
                }
            }
            kube::Error::HyperError(_) | kube::Error::Service(_) => Self::Unreachable {
                doing,
                cause: innermost(error),
            },
            other => Self::Api {
                doing,
                message: other.to_string(),
            },
        }
    }
}

/// The last cause in a chain of errors: "connection refused" rather than "client error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(text: &str) -> kube::Error {
        kube::Error::Api(Box::new(serde_json::from_str(text).unwrap()))
    }

    #[test]
    fn a_missing_incident_is_told_from_a_cluster_without_firewatch() {
        let missing = answer(
            r#"{"code":404,"reason":"NotFound","message":"incidents.firewatch.dev \"x\" not found","details":{"name":"x","kind":"incidents"}}"#,
        );
        assert_eq!(Error::from_kube("read incident x", &missing).reason(), "NotFound");
        let unknown_kind =
            answer(r#"{"code":404,"reason":"NotFound","message":"the server could not find the requested resource"}"#);
        assert_eq!(
            Error::from_kube("list incidents", &unknown_kind).reason(),
            "NotInstalled"
        );
    }

    #[test]
    fn a_refusal_keeps_the_servers_words_because_they_name_the_field() {
        let refused = answer(r#"{"code":422,"reason":"Invalid","message":"spec.title: Required value"}"#);
        let error = Error::from_kube("create the incident", &refused);
        assert_eq!(error.exit_code(), exit::REFUSED);
        assert_eq!(
            error.to_string(),
            "could not create the incident: refused by the API server: spec.title: Required value"
        );
    }
}
