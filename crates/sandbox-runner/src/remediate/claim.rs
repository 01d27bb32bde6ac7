//! The claim: one write under the resourceVersion that was verified, with this pod's uid and a nonce of this process. Anything but
//! success is no claim. Admission compares the uid with the token's, so a pod claims for itself only. Called by `mod`.

use firewatch_core::api::{Claim, RemediationApproval};
use firewatch_core::approval::verify::Purpose;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::Fault;
use super::read::unreadable;

/// Who this pod is, as the API server sees it.
pub struct Me {
    /// Namespace of its ServiceAccount: the sandbox.
    pub namespace: String,
    /// uid of the pod.
    pub pod_uid: String,
    /// Its name.
    pub pod_name: Option<String>,
}

/// Who this pod is.
pub async fn whoami(client: &Client) -> Result<Me, Fault> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .map_err(unreadable("who this pod is"))?;
    let user = review.status.and_then(|status| status.user_info).unwrap_or_default();
    let username = user.username.unwrap_or_default();
    let namespace = username
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.strip_suffix(":remediation-executor"))
        .ok_or_else(|| Fault::NotThePod(format!("it runs as {username:?}")))?
        .to_owned();
    let extra = user.extra.unwrap_or_default();
    let first = |key: &str| {
        extra
            .get(&format!("authentication.kubernetes.io/{key}"))
            .and_then(|values| values.first())
            .cloned()
    };
    Ok(Me {
        namespace,
        pod_uid: first("pod-uid").ok_or_else(|| Fault::NotThePod("its token is not bound to a pod".to_owned()))?,
        pod_name: first("pod-name"),
    })
}

/// Takes the claim; returns its nonce.
pub async fn take(client: &Client, purpose: Purpose, approval: &RemediationApproval, me: &Me) -> Result<String, Fault> {
    let nonce = nonce()?;
    let now = Timestamp::now();
    let claim = Claim {
        pod_uid: me.pod_uid.clone(),
        pod_name: me.pod_name.clone(),
        nonce: nonce.clone(),
        at: Some(Time(Timestamp::from_second(now.as_second()).unwrap_or(now))),
    };
    let field = match purpose {
        Purpose::Remediate => "claim",
        Purpose::Rollback => "rollbackClaim",
    };
    let patch = json!({
        "metadata": { "uid": approval.uid(), "resourceVersion": approval.resource_version() },
        "status": { field: claim },
    });
    let api: Api<RemediationApproval> = Api::namespaced(client.clone(), &approval.namespace().unwrap_or_default());
    api.patch_status(&approval.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|error| Fault::NotClaimed(error.to_string()))?;
    Ok(nonce)
}

/// 32 hex digits from the kernel.
fn nonce() -> Result<String, Fault> {
    let mut bytes = [0_u8; 16];
    let filled = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    match filled {
        Ok(16) => Ok(hex::encode(bytes)),
        _ => Err(Fault::SandboxDegraded("the kernel gave no random bytes".to_owned())),
    }
}
