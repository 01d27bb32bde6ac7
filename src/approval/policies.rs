//! Which ResponsePolicy holds in a namespace, and what the operator says about each policy. Which one holds is decided in the core.

use std::collections::BTreeMap;
use std::sync::Arc;

use firewatch_core::api::ResponsePolicy;
use firewatch_core::api::policy::ResponsePolicyStatus;
use firewatch_core::approval::policy::{self, Effective};
use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::incident::context::Context;

/// The policy that holds in a namespace with these labels.
pub fn effective(ctx: &Context, namespace_labels: &BTreeMap<String, String>) -> Effective {
    let policies: Vec<ResponsePolicy> = ctx.policies.state().iter().map(|p| (**p).clone()).collect();
    policy::effective(&policies, namespace_labels)
}

/// Keeps the store of policies fresh, and says of each which of its fields this version does not act on.
pub async fn watch(
    ctx: Arc<Context>,
    stream: impl Stream<Item = Result<watcher::Event<ResponsePolicy>, watcher::Error>> + Send,
    stop: CancellationToken,
) {
    let stream = stream.applied_objects();
    tokio::pin!(stream);
    loop {
        let next = tokio::select! { next = stream.next() => next, () = stop.cancelled() => return };
        match next {
            Some(Ok(policy)) => {
                if let Err(error) = describe(&ctx, &policy).await {
                    tracing::warn!(policy = %policy.name_any(), %error, "the policy's status could not be written");
                }
            }
            Some(Err(error)) => tracing::warn!(%error, "watching policies"),
            None => return,
        }
    }
}

async fn describe(ctx: &Context, seen: &ResponsePolicy) -> kube::Result<()> {
    let unsupported = policy::unsupported(&seen.spec);
    let (status, reason, message) = if unsupported.is_empty() {
        (
            "True",
            "AllFieldsHold",
            "every field that is set is acted on".to_owned(),
        )
    } else {
        (
            "False",
            "FieldsNotSupportedYet",
            format!("not acted on by this version: {}", unsupported.join(", ")),
        )
    };
    let old = seen.status.clone().unwrap_or_default();
    let same = old
        .conditions
        .iter()
        .any(|c| c.type_ == "Supported" && c.status == status && c.message == message)
        && old.observed_generation == seen.metadata.generation;
    if same {
        return Ok(());
    }
    let status = ResponsePolicyStatus {
        conditions: vec![Condition {
            type_: "Supported".into(),
            status: status.into(),
            reason: reason.into(),
            message,
            observed_generation: seen.metadata.generation,
            last_transition_time: Time(Timestamp::now()),
        }],
        observed_generation: seen.metadata.generation,
    };
    let api: Api<ResponsePolicy> = Api::all(ctx.client.clone());
    api.patch_status(
        &seen.name_any(),
        &PatchParams::default(),
        &Patch::Merge(serde_json::json!({ "status": status })),
    )
    .await?;
    Ok(())
}
