//! What the operator is told at start: flags and environment, read once. Called by `main`; nothing else reads the environment.

use clap::Args;

/// How the operator runs. Each flag can be given as the environment variable beside it.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Namespace of the operator itself; incidents that live here may look at other namespaces.
    #[arg(long, env = "FIREWATCH_NAMESPACE", default_value = "firewatch-system")]
    pub namespace: String,
    /// Namespace in which sandbox Jobs run.
    #[arg(long, env = "FIREWATCH_SANDBOX_NAMESPACE", default_value = "firewatch-sandbox")]
    pub sandbox_namespace: String,
    /// Image of the sandbox, exactly as the admission policies name it.
    #[arg(
        long,
        env = "FIREWATCH_SANDBOX_IMAGE",
        default_value = "localhost/firewatch-sandbox:dev"
    )]
    pub sandbox_image: String,
    /// A seccomp profile that is installed on every node, as a path below the kubelet's seccomp folder: sandbox pods run under it in
    /// place of the runtime's default.
    #[arg(long, env = "FIREWATCH_SANDBOX_SECCOMP_PROFILE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub sandbox_seccomp_profile: Option<String>,
    /// Address for /metrics, /healthz and /readyz.
    #[arg(long, env = "FIREWATCH_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: std::net::SocketAddr,
    /// Name under which this process holds the lease; the pod's name in a cluster.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,
    /// How many incidents may be active at once.
    #[arg(long, env = "FIREWATCH_MAX_CONCURRENT", default_value_t = 20)]
    pub max_concurrent: usize,
    /// Whether the executor may cordon and uncordon nodes: the chart sets this and gives the right together.
    #[arg(long, env = "FIREWATCH_REMEDIATE_NODES", default_value_t = false, action = clap::ArgAction::Set)]
    pub remediate_nodes: bool,
    /// Postgres, as postgres://user:password@host:port/database. Absent: `--audit=file` must be given.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// `file`: keep the record in a hash-chained JSONL file instead of Postgres, for a single user.
    #[arg(long, env = "FIREWATCH_AUDIT", value_parser = ["file"])]
    pub audit: Option<String>,
    /// Where that file is.
    #[arg(long, env = "FIREWATCH_AUDIT_FILE", default_value = "firewatch-audit.jsonl")]
    pub audit_file: std::path::PathBuf,
    /// Webhooks.
    #[command(flatten)]
    pub intake: crate::intake::IntakeConfig,
    /// The HTTP API; none by default.
    #[command(flatten)]
    pub api: crate::api_server::ApiConfig,
    /// Who is told outside the cluster; nobody by default.
    #[command(flatten)]
    pub notify: crate::notify::NotifyArgs,
    /// Prometheus; none by default.
    #[command(flatten)]
    pub prometheus: crate::prometheus::PrometheusArgs,
    /// Models; none by default.
    #[command(flatten)]
    pub model: crate::model::ModelArgs,
}
