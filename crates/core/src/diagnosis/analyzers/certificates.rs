//! Certificates that have expired are the called side's to renew: the caller only says so.
//!
//! Evidence: the caller's log, the Service that it calls, the Secret that the pods behind it mount. Looks alike: a certificate of the
//! caller's own (a client certificate, its CA), about which the log names no host. Called by `signatures`. Secrets are named, not read.

use super::{View, claim};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::graph::{self, Destination};
use crate::diagnosis::logs::{Group, Signature};
use crate::text::clip;

/// The claim about what is called, where the log names it and it is a Service with one workload behind it.
pub(super) fn of_called(view: &View<'_>, caller: &Workload<'_>, group: &Group, evidence: &str) -> Option<Finding> {
    if group.signature != Signature::CertificateExpired {
        return None;
    }
    let Destination::Service(service) = graph::called(view.facts.case, caller, group)? else {
        return None;
    };
    let facts = view
        .facts
        .service(service.namespace.as_deref().unwrap_or_default(), &service.name)?;
    let [one] = facts.workloads.as_slice() else {
        return None;
    };
    let server = view.facts.workloads.get(*one)?;
    if server.name == caller.name {
        return None;
    }
    let secrets = mounted_secrets(server);
    let place = match secrets.as_slice() {
        [] => String::new(),
        names => format!(", which its pods read from Secret {}", names.join(" or ")),
    };
    let to_renew = if secrets.is_empty() {
        "it".to_owned()
    } else {
        format!("it in Secret {}", secrets.join(" or "))
    };
    Some(
        claim(
            "CertificateExpired",
            &server.name,
            Depth::Fault,
            Basis::Logged,
            1 + u8::from(group.count > 2) + u8::from(secrets.len() == 1),
        )
        .says(format!(
            "the TLS certificate that {} shows for {service} has expired{place}: calls of {} fail (\"{}\", {} times)",
            server.name,
            caller.name,
            clip(&group.sample, 200),
            group.count
        ))
        .cites([evidence, facts.evidence, server.evidence])
        .affects([caller.name.clone()])
        .since(group.first)
        .manual(format!(
            "renew the certificate of {service} (put {to_renew}), then restart {}",
            server.name
        ))
        .done(),
    )
}

fn mounted_secrets(workload: &Workload<'_>) -> Vec<String> {
    workload
        .pod_spec()
        .into_iter()
        .flat_map(|spec| spec.volumes.iter().flatten())
        .filter_map(|volume| volume.secret.as_ref()?.secret_name.clone())
        .collect()
}
