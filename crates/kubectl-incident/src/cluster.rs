//! The connection to one cluster with the user's own rights: kubeconfig, context, namespace, impersonation, and who we are there.
//!
//! Never reads Secrets and never widens rights. Made once by `main`, used by every command.

use firewatch_core::api::{Incident, RemediationApproval};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::cli::ClusterArgs;
use crate::error::{Error, Result};

/// One cluster, one namespace, one user.
#[derive(Clone)]
pub struct Cluster {
    /// The client.
    pub client: Client,
    /// The namespace of this call.
    pub namespace: String,
    /// Whether `-n` named it.
    pub namespace_given: bool,
    args: ClusterArgs,
}

impl Cluster {
    /// Connects as the flags say. Nothing is sent yet.
    pub async fn connect(args: &ClusterArgs) -> Result<Self> {
        let options = KubeConfigOptions {
            context: args.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = match &args.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|e| Error::Config(e.to_string()))?;
                Config::from_custom_kubeconfig(file, &options).await
            }
            None => Config::from_kubeconfig(&options).await,
        };
        let mut config = match config {
            Ok(config) => config,
            // Inside a pod there is no kubeconfig, and none is needed.
            Err(_)
                if args.context.is_none()
                    && args.kubeconfig.is_none()
                    && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() =>
            {
                Config::incluster().map_err(|e| Error::Config(e.to_string()))?
            }
            Err(error) => return Err(Error::Config(error.to_string())),
        };
        if args.impersonate.is_some() {
            config.auth_info.impersonate.clone_from(&args.impersonate);
            config.auth_info.impersonate_groups =
                Some(args.impersonate_groups.clone()).filter(|groups| !groups.is_empty());
        }
        let namespace = args
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|e| Error::Config(e.to_string()))?;
        Ok(Self {
            client,
            namespace,
            namespace_given: args.namespace.is_some(),
            args: args.clone(),
        })
    }

    /// Over a client that is there already.
    pub fn with_client(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            namespace_given: true,
            args: ClusterArgs::default(),
        }
    }

    /// The same connection in another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            namespace_given: true,
            ..self.clone()
        }
    }

    /// The incidents of this namespace.
    pub fn incidents(&self) -> Api<Incident> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The approvals of this namespace.
    pub fn approvals(&self) -> Api<RemediationApproval> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One incident.
    pub async fn incident(&self, name: &str) -> Result<Incident> {
        self.incidents().get(name).await.map_err(|error| {
            match Error::from_kube(format!("read incident {name}"), &error) {
                Error::NotFound { .. } => Error::NotFound {
                    what: format!("incident {name} in namespace {}", self.namespace),
                    remedy: "`kubectl incident list -A` shows all; -n names another namespace.".to_owned(),
                },
                other => other,
            }
        })
    }

    /// The user name that the API server sees: the only one in which an approval can be given.
    pub async fn whoami(&self) -> Result<String> {
        let review = Api::<SelfSubjectReview>::all(self.client.clone())
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await
            .map_err(|error| Error::from_kube("ask the API server who you are", &error))?;
        review
            .status
            .and_then(|status| status.user_info)
            .and_then(|user| user.username)
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Error::State("the API server does not say who you are (SelfSubjectReview without a user name); approve with plain kubectl and your own name".to_owned()))
    }

    /// The flags that reach the same cluster with kubectl, as the same user.
    pub fn kubectl_flags(&self) -> Vec<String> {
        let mut flags = self.args.kubectl_flags();
        flags.push(format!("--namespace={}", self.namespace));
        flags
    }
}
