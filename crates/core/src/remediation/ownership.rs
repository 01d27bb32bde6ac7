//! Whether something else writes an object's spec: a patch there would be reverted, so the change is proposed at its source instead.
//! Pure; reads metadata alone. Called by `plan`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Who else writes an object, and where the change belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `Helm`, `Argo CD`, `Flux`, or a kind.
    pub tool: String,
    /// What of it: the release, the application.
    pub name: String,
}

impl std::fmt::Display for Source {
    /// `Helm (release shop/checkout)`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() {
            write!(f, "{}", self.tool)
        } else {
            write!(f, "{} ({})", self.tool, self.name)
        }
    }
}

/// Controllers of Kubernetes itself, which do not write the specs that actions change.
const OWN: [&str; 6] = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob"];

/// Managers of fields that tell a tool where labels do not.
const MANAGERS: [(&str, &str); 6] = [
    ("argocd-controller", "Argo CD"),
    ("argocd-application-controller", "Argo CD"),
    ("argocd-server", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
    ("helm", "Helm"),
];

/// Who else writes this object; none: only people and their kubectl.
pub fn source(metadata: &ObjectMeta) -> Option<Source> {
    let label = |key: &str| {
        metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(key))
            .map(String::as_str)
    };
    let note = |key: &str| {
        metadata
            .annotations
            .as_ref()
            .and_then(|notes| notes.get(key))
            .map(String::as_str)
    };
    let of = |tool: &str, name: String| {
        Some(Source {
            tool: tool.to_owned(),
            name,
        })
    };
    for kind in ["kustomize", "helm"] {
        if let Some(name) = label(&format!("{kind}.toolkit.fluxcd.io/name")) {
            let namespace = label(&format!("{kind}.toolkit.fluxcd.io/namespace")).unwrap_or("?");
            let what = if kind == "helm" { "HelmRelease" } else { "Kustomization" };
            return of("Flux", format!("{what} {namespace}/{name}"));
        }
    }
    if let Some(id) = note("argocd.argoproj.io/tracking-id") {
        return of("Argo CD", format!("application {}", id.split(':').next().unwrap_or(id)));
    }
    if let Some(name) = label("argocd.argoproj.io/instance").or_else(|| note("argocd.argoproj.io/instance")) {
        return of("Argo CD", format!("application {name}"));
    }
    if label("app.kubernetes.io/managed-by") == Some("Helm")
        && let Some(release) = note("meta.helm.sh/release-name")
    {
        let namespace = note("meta.helm.sh/release-namespace").unwrap_or("?");
        return of("Helm", format!("release {namespace}/{release}"));
    }
    for field in metadata.managed_fields.iter().flatten() {
        let manager = field.manager.as_deref().unwrap_or_default();
        if let Some((_, tool)) = MANAGERS.iter().find(|(name, _)| *name == manager) {
            return of(tool, String::new());
        }
    }
    metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true) && !OWN.contains(&owner.kind.as_str()))
        .and_then(|owner| of(&owner.kind, owner.name.clone()))
}
