//! What is known of an installation. Each is what was read, or why it was not. Made by `gather`, judged by `judge`.

use firewatch_core::api::Incident;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod, ResourceQuota};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;

/// Something that was asked of the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum Read<T> {
    /// The answer.
    Got(T),
    /// Why there is none.
    Not(String),
}

/// One right that an identity must have, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Namespace of the ServiceAccount.
    pub account_namespace: String,
    /// The ServiceAccount.
    pub account: &'static str,
    /// Verb.
    pub verb: &'static str,
    /// API group.
    pub group: &'static str,
    /// Resource, with its subresource after a slash.
    pub resource: &'static str,
    /// In which namespace; absent: in all.
    pub namespace: Option<String>,
    /// Whether it must have it; else it must not.
    pub wanted: bool,
}

/// An installation.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The present.
    pub now: Timestamp,
    /// Version of this plugin.
    pub version: String,
    /// Namespace of the operator.
    pub namespace: String,
    /// Namespace of the sandbox, as the operator's Deployment says.
    pub sandbox_namespace: String,
    /// Those of Firewatch.
    pub crds: Read<Vec<CustomResourceDefinition>>,
    /// Those of Firewatch.
    pub policies: Read<Vec<ValidatingAdmissionPolicy>>,
    /// Those of Firewatch.
    pub bindings: Read<Vec<ValidatingAdmissionPolicyBinding>>,
    /// The operator's, in its namespace.
    pub deployments: Read<Vec<Deployment>>,
    /// The operator's.
    pub pods: Read<Vec<Pod>>,
    /// The leader's.
    pub lease: Read<Option<Lease>>,
    /// The sandbox.
    pub sandbox: Read<Option<Namespace>>,
    /// In the sandbox.
    pub quotas: Read<Vec<ResourceQuota>>,
    /// In the sandbox.
    pub sandbox_pods: Read<Vec<Pod>>,
    /// ServiceAccounts of the sandbox.
    pub accounts: Read<Vec<String>>,
    /// Whether the sandbox's PriorityClass is there.
    pub priority_class: Read<bool>,
    /// What the identities may do.
    pub rights: Vec<(Right, Read<bool>)>,
    /// All incidents.
    pub incidents: Read<Vec<Incident>>,
    /// Namespaces in which the executor is bound.
    pub remediation: Read<Vec<String>>,
}
