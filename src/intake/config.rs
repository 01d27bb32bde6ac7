//! What the intake is told at start. Part of the operator's flags; checked before anything listens.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use firewatch_core::intake::pagerduty;
use firewatch_core::intake::target::{LabelPolicy, PolicyError, pair};

use super::listen::TlsFiles;

/// How the intake runs. Each flag can be given as the environment variable beside it.
#[derive(Args, Clone, Debug, Default)]
pub struct IntakeConfig {
    /// Address for webhooks. Absent: none are taken.
    #[arg(id = "intake_listen", long = "intake-listen", env = "FIREWATCH_INTAKE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// File with the bearer tokens that senders may use, one a line; read again when it changes.
    #[arg(long = "intake-token-file", env = "FIREWATCH_INTAKE_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// File with the secrets of PagerDuty's webhook subscriptions, one a line; read again when it changes. Absent: none are taken.
    #[arg(
        long = "intake-pagerduty-secret-file",
        env = "FIREWATCH_INTAKE_PAGERDUTY_SECRET_FILE"
    )]
    pub pagerduty_secret_file: Option<PathBuf>,
    /// Ids of PagerDuty's services and the namespaces that they stand for, as in PABC123=shop, for events whose details name none.
    #[arg(
        long = "intake-pagerduty-services",
        env = "FIREWATCH_INTAKE_PAGERDUTY_SERVICES",
        value_delimiter = ','
    )]
    pub pagerduty_services: Vec<String>,
    /// Certificate chain of the intake, PEM. Absent: plain HTTP.
    #[arg(long = "intake-tls-cert", env = "FIREWATCH_INTAKE_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long = "intake-tls-key", env = "FIREWATCH_INTAKE_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Authorities of client certificates, PEM: senders must show a certificate of one of them.
    #[arg(long = "intake-client-ca", env = "FIREWATCH_INTAKE_CLIENT_CA", requires = "tls_cert")]
    pub client_ca: Option<PathBuf>,
    /// Label of an alert that holds the namespace.
    #[arg(
        long = "intake-namespace-label",
        env = "FIREWATCH_INTAKE_NAMESPACE_LABEL",
        default_value = "namespace"
    )]
    pub namespace_label: String,
    /// Label of an alert that holds the severity.
    #[arg(
        long = "intake-severity-label",
        env = "FIREWATCH_INTAKE_SEVERITY_LABEL",
        default_value = "severity"
    )]
    pub severity_label: String,
    /// Kinds and the labels that hold their names, as in Deployment=deployment,Pod=pod; the first that is there counts.
    #[arg(
        long = "intake-target-labels",
        env = "FIREWATCH_INTAKE_TARGET_LABELS",
        value_delimiter = ','
    )]
    pub target_labels: Vec<String>,
    /// Parts of the names of the monitoring stack's own pods, which an alert is never about.
    #[arg(
        long = "intake-monitoring",
        env = "FIREWATCH_INTAKE_MONITORING",
        value_delimiter = ','
    )]
    pub monitoring: Vec<String>,
    /// Requests a second that one client may send; ten times as many at once.
    #[arg(long = "intake-rate", env = "FIREWATCH_INTAKE_RATE", default_value_t = 50)]
    pub rate: u32,
    /// Alertmanager, as http://alertmanager:9093: its list of alerts is read now and then, so that a webhook that was missed is found.
    #[arg(long, env = "FIREWATCH_ALERTMANAGER_URL")]
    pub alertmanager_url: Option<String>,
    /// Name of the receiver there that sends to Firewatch.
    #[arg(long, env = "FIREWATCH_ALERTMANAGER_RECEIVER", default_value = "firewatch")]
    pub alertmanager_receiver: String,
    /// File with the bearer token for it.
    #[arg(long, env = "FIREWATCH_ALERTMANAGER_TOKEN_FILE")]
    pub alertmanager_token_file: Option<PathBuf>,
    /// Authorities of its certificate, PEM; for https.
    #[arg(long, env = "FIREWATCH_ALERTMANAGER_CA")]
    pub alertmanager_ca: Option<PathBuf>,
}

/// Why the intake cannot run. The operator does not start: an intake that is configured and does not listen would lose alerts.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// Anybody could send.
    #[error(
        "--intake-listen without --intake-token-file, --intake-client-ca or --intake-pagerduty-secret-file: an intake without authentication is not started"
    )]
    Unauthenticated,
    /// A pair that is none.
    #[error("--intake-pagerduty-services: '{0}' is not SERVICE=namespace, as in PABC123=shop")]
    Service(String),
    /// A label policy that cannot be meant.
    #[error("--intake-target-labels: {0}")]
    Labels(#[from] PolicyError),
    /// A file is not there or not readable.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: String,
    },
    /// No usable token.
    #[error("{0} holds no token of at least {min} characters", min = super::auth::MIN_TOKEN)]
    NoToken(String),
    /// The port is taken.
    #[error("--intake-listen: {0}")]
    Listen(#[from] std::io::Error),
}

impl IntakeConfig {
    /// Its TLS files.
    pub fn tls(&self) -> TlsFiles {
        TlsFiles {
            cert: self.tls_cert.clone(),
            key: self.tls_key.clone(),
            client_ca: self.client_ca.clone(),
        }
    }

    /// The namespace of each of PagerDuty's services.
    pub fn services(&self) -> Result<BTreeMap<String, String>, IntakeError> {
        self.pagerduty_services
            .iter()
            .map(|text| {
                text.split_once('=')
                    .filter(|(service, namespace)| pagerduty::is_id(service) && !namespace.is_empty())
                    .map(|(service, namespace)| (service.to_owned(), namespace.to_owned()))
                    .ok_or_else(|| IntakeError::Service(text.clone()))
            })
            .collect()
    }

    /// Which labels count.
    pub fn labels(&self) -> Result<LabelPolicy, IntakeError> {
        let mut policy = LabelPolicy::default();
        // `Default` of this struct, as tests use it, has empty names.
        if !self.namespace_label.is_empty() {
            policy.namespace.clone_from(&self.namespace_label);
        }
        if !self.severity_label.is_empty() {
            policy.severity.clone_from(&self.severity_label);
        }
        if !self.target_labels.is_empty() {
            policy.targets = self
                .target_labels
                .iter()
                .map(|text| pair(text))
                .collect::<Result<_, _>>()?;
        }
        if !self.monitoring.is_empty() {
            policy.monitoring.clone_from(&self.monitoring);
        }
        Ok(policy)
    }
}
