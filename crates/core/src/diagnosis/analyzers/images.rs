//! Images that cannot be pulled: wrong name or tag, registry that does not resolve or answer, missing credentials, pull limits.
//!
//! Evidence: the container's waiting state, and events of the kubelet. Looks alike: a pull that is merely slow (`ContainerCreating`
//! without an error), which is none.

use super::{KnownCause, View, claim, known};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, waiting};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Remedy};
use crate::diagnosis::similar::typo;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "ImagePullFailed",
        "The registry does not have the image: its repository or tag is wrong.",
        "The waiting state and the kubelet's Failed events: not found, manifest unknown, no such repository.",
        "A pull that is merely slow: ContainerCreating without an error.",
    ),
    known(
        "ImageNameInvalid",
        "The image's name is not a valid reference (capitals, two tags, a stray space).",
        "Reason InvalidImageName.",
        "A valid name that the registry does not have.",
    ),
    known(
        "ImagePullSecretMissing",
        "The registry wants credentials, and the Secret that imagePullSecrets names is not there.",
        "FailedToRetrieveImagePullSecret beside the registry's refusal. The Secret is never read.",
        "The same event where the image is public: the pull succeeds, and nothing is wrong.",
    ),
    known(
        "RegistryRefuses",
        "The registry refuses the credentials, or there are none.",
        "Unauthorized or forbidden in the kubelet's event.",
        "A pull limit; a repository that does not exist, for which some registries say denied too.",
    ),
    known(
        "RegistryUnreachable",
        "The registry's name does not resolve, or it does not answer.",
        "no such host, connection refused, timeouts in the kubelet's event.",
        "A tag that does not exist.",
    ),
    known(
        "RegistryCertificateRefused",
        "The node does not trust the registry's certificate.",
        "x509 in the kubelet's event.",
        "Credentials that are refused.",
    ),
    known(
        "PullLimitReached",
        "The registry's limit of pulls is reached.",
        "toomanyrequests in the kubelet's event.",
        "Credentials that are refused.",
    ),
    known(
        "ImageNeverPulled",
        "imagePullPolicy is Never, and the node does not have the image.",
        "Reason ErrImageNeverPull.",
        "An image that no registry has.",
    ),
    known(
        "WrongPlatform",
        "The image is not made for the node's platform.",
        "no match for platform in the kubelet's event.",
        "A tag that does not exist.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in &view.facts.workloads {
        let Some((pod, status, reason, message)) = workload.pods.iter().find_map(|pod| {
            pod.statuses().find_map(|(status, _)| {
                let (reason, message) = waiting(status)?;
                matches!(
                    reason,
                    "ErrImagePull"
                        | "ImagePullBackOff"
                        | "InvalidImageName"
                        | "ErrImageNeverPull"
                        | "RegistryUnavailable"
                        | "ImageInspectError"
                )
                .then_some((pod, status, reason, message))
            })
        }) else {
            continue;
        };
        let event = view
            .facts
            .events(pod.name)
            .iter()
            .copied()
            .filter(|event| event.reason == "Failed" && event.message.contains("pull"))
            .max_by_key(|event| event.message.len());
        let whole = format!("{message} {}", event.map_or("", |event| event.message.as_str())).to_ascii_lowercase();
        let (category, why) = why(reason, &whole);
        let image = pod
            .pod
            .spec
            .as_ref()
            .into_iter()
            .flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()))
            .find(|container| container.name == status.name)
            .and_then(|container| container.image.as_deref())
            .unwrap_or(status.image.as_str());
        let before = workload.last_two().and_then(|(_, before)| {
            let spec = before.template.spec.as_ref()?;
            let old = spec
                .containers
                .iter()
                .chain(spec.init_containers.iter().flatten())
                .find(|c| c.name == status.name)?
                .image
                .clone()?;
            (old != image).then(|| KnownValue {
                value: old,
                source: format!("revision {} of {}", before.number, workload.name),
                evidence: vec![before.evidence.to_owned()],
            })
        });
        let secret = missing_secret(view, pod);
        let (category, why) = match &secret {
            Some((names, _)) if matches!(category, "ImagePullFailed" | "RegistryRefuses") && refuses(&whole) => (
                "ImagePullSecretMissing",
                format!(
                    "the registry refuses it, and the Secret {names} that imagePullSecrets names does not exist or cannot be read"
                ),
            ),
            _ => (category, why.to_owned()),
        };
        let remedy = match (category, &before) {
            ("ImagePullFailed" | "ImageNameInvalid" | "WrongPlatform", _) | ("RegistryUnreachable", Some(_)) => {
                Remedy::Image {
                    container: ContainerRef {
                        workload: workload.name.clone(),
                        container: status.name.clone(),
                    },
                    from: image.to_owned(),
                    to: before.or_else(|| served(view, image)),
                }
            }
            _ => Remedy::Manual {
                instruction: advice(category).to_owned(),
            },
        };
        found.push(
            claim(
                category,
                &workload.name,
                Depth::Fault,
                Basis::Stated,
                1 + u8::from(event.is_some()),
            )
            .says(format!(
                "the image {image} of container {} of {} cannot be pulled: {why}",
                status.name, workload.name
            ))
            .cites(
                [pod.evidence, workload.evidence]
                    .into_iter()
                    .chain(event.map(|event| event.evidence.as_str()))
                    .chain(secret.iter().map(|(_, evidence)| *evidence)),
            )
            .since(pod.created())
            .remedy(remedy)
            .done(),
        );
    }
    found
}

/// Pull secrets that the kubelet could not get, by its own words; it says so too where the image is public and the pull succeeds.
fn missing_secret<'v>(view: &'v View<'_>, pod: &PodFacts<'_>) -> Option<(String, &'v str)> {
    let event = view
        .facts
        .events(pod.name)
        .iter()
        .find(|event| event.reason == "FailedToRetrieveImagePullSecret")?;
    let names = event.message.split_once('(')?.1.split(')').next()?.to_owned();
    Some((names, event.evidence.as_str()))
}

/// Whether the registry's answer is about rights. A registry that hides what it has says "not found" or "denied" alike.
fn refuses(text: &str) -> bool {
    [
        "unauthorized",
        "authentication required",
        "authorization",
        "denied",
        "401",
        "403",
        "no basic auth",
    ]
    .iter()
    .any(|word| text.contains(word))
}

fn advice(category: &str) -> &'static str {
    match category {
        "ImagePullSecretMissing" => {
            "create the pull Secret in this namespace (type kubernetes.io/dockerconfigjson), or correct the name in imagePullSecrets or in the ServiceAccount"
        }
        "RegistryRefuses" => {
            "give the pods (imagePullSecrets) or their ServiceAccount credentials that may pull this repository, or correct the repository's name"
        }
        "PullLimitReached" => "pull with an account, through a mirror, or wait until the registry's limit has passed",
        "ImageNeverPulled" => "set imagePullPolicy to IfNotPresent, or load the image on every node",
        "RegistryCertificateRefused" => "let the nodes' container runtime trust the registry's certificate",
        _ => "see from a node whether the registry answers: its name, DNS, proxy and firewall",
    }
}

/// What kind of failure, and in words.
fn why(reason: &str, text: &str) -> (&'static str, &'static str) {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if reason == "InvalidImageName" || has(&["invalid reference format", "couldn't parse image name"]) {
        ("ImageNameInvalid", "its name is not a valid image reference")
    } else if reason == "ErrImageNeverPull" {
        (
            "ImageNeverPulled",
            "imagePullPolicy is Never, and the node does not have it",
        )
    } else if has(&[
        "dial tcp: lookup ",
        "no such host",
        "name resolution",
        "server misbehaving",
    ]) {
        ("RegistryUnreachable", "the name of its registry does not resolve")
    } else if has(&["toomanyrequests", "429 too many", "rate limit"]) {
        ("PullLimitReached", "the registry's pull limit is reached")
    } else if has(&["no match for platform", "no matching manifest for"]) {
        ("WrongPlatform", "the registry has it, but not for the node's platform")
    } else if has(&["x509", "tls: "]) {
        (
            "RegistryCertificateRefused",
            "the registry's certificate is not trusted",
        )
    } else if has(&["repository does not exist or may require"]) {
        (
            "ImagePullFailed",
            "the registry refuses it: no such repository, or missing credentials (imagePullSecrets)",
        )
    } else if has(&["not found", "manifest unknown", "404"]) {
        ("ImagePullFailed", "the registry does not have it: not found")
    } else if refuses(text) {
        (
            "RegistryRefuses",
            "the registry refuses the credentials, or there are none (imagePullSecrets)",
        )
    } else if has(&[
        "connection refused",
        "i/o timeout",
        "no route to host",
        "deadline exceeded",
        "server gave http response",
    ]) {
        ("RegistryUnreachable", "its registry cannot be reached")
    } else {
        ("ImagePullFailed", "the registry does not give it")
    }
}

/// The image that was meant: one that a ready container of the namespace runs, and that differs by a slip.
fn served(view: &View<'_>, image: &str) -> Option<KnownValue> {
    let running: Vec<(&str, &ObjectName, &str)> = view
        .facts
        .workloads
        .iter()
        .flat_map(|workload| workload.pods.iter().map(move |pod| (workload, pod)))
        .flat_map(|(workload, pod)| {
            let ready = |name: &str| pod.statuses().any(|(status, _)| status.name == name && status.ready);
            let spec = pod.pod.spec.iter().flat_map(|spec| &spec.containers);
            spec.filter(move |container| ready(&container.name))
                .filter_map(move |container| Some((container.image.as_deref()?, &workload.name, pod.evidence)))
        })
        .collect();
    let meant = typo(image, running.iter().map(|(image, ..)| *image))?;
    let (_, by, evidence) = running.iter().find(|(image, ..)| *image == meant)?;
    Some(KnownValue {
        value: meant.to_owned(),
        source: by.to_string(),
        evidence: vec![(*evidence).to_owned()],
    })
}
