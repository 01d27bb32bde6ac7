//! What is asked about incidents: a list, one of them, its full response document. Read by the operator for a caller who was found to have
//! the right to read exactly that.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::{Extension, Json};
use firewatch_core::api::{Incident, Phase, RemediationApproval, Severity};
use firewatch_core::report::{ApprovalRow, ResponseDocument, StoryView};
use kube::Api;
use kube::api::ListParams;

use super::access::Wish;
use super::caller::{Caller, User};
use super::input::{self, Named};
use super::models::{IncidentList, IncidentView, ListQuery, ResponseDocumentView, severity};
use super::openapi;
use super::problem::{Kind, Problem};
use super::server::Shared;

/// Parts of the API server's list that one request reads at most, where a filter drops most of it.
const PARTS: usize = 10;
const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 100;
const MAX_CONTINUE: usize = 4096;

/// Lists incidents.
#[utoipa::path(get, path = "/incidents", operation_id = "listIncidents", tag = "incidents", params(ListQuery), responses(
    (status = 200, description = "A part of the list; `continue` leads to the next", body = IncidentList),
))]
pub async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<IncidentList>, Problem> {
    let asked = Asked::of(&uri)?;
    let namespace = asked.namespace.as_deref();
    shared
        .access
        .demand(&caller.user, Wish::all("list", "incidents", namespace))
        .await?;
    let api: Api<Incident> = match namespace {
        Some(namespace) => Api::namespaced(shared.client.clone(), namespace),
        None => Api::all(shared.client.clone()),
    };
    let (mut items, mut next) = (Vec::new(), asked.next.clone());
    // One part of a list is some megabytes: only so many are held at once.
    let _turn = shared.lists.acquire().await;
    for _ in 0..PARTS {
        let wanted = asked
            .limit
            .saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
        let mut params = ListParams::default().limit(wanted);
        params.continue_token = next.take();
        let part = api.list(&params).await.map_err(|error| no_list(&error))?;
        items.extend(
            part.items
                .iter()
                .filter(|incident| asked.wants(incident))
                .map(IncidentView::of),
        );
        next = part.metadata.continue_.filter(|token| !token.is_empty());
        if next.is_none() || items.len() >= asked.limit as usize {
            break;
        }
    }
    Ok(Json(IncidentList { items, next }))
}

fn no_list(error: &kube::Error) -> Problem {
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 404 | 410) => Problem {
            field: Some("continue".to_owned()),
            ..Problem::new(
                Kind::NotFound,
                "continue leads nowhere: it is none, or too old; begin again without it",
            )
        },
        other => Problem::unavailable(other),
    }
}

#[derive(Debug)]
struct Asked {
    namespace: Option<String>,
    phase: Option<Phase>,
    severity: Option<Severity>,
    limit: u32,
    next: Option<String>,
}

impl Asked {
    fn of(uri: &Uri) -> Result<Self, Problem> {
        let mut query = input::query(uri, &["namespace", "phase", "severity", "limit", "continue"])?;
        let namespace = query.remove("namespace");
        if let Some(name) = &namespace {
            input::namespace("namespace", name)?;
        }
        let limit = match query.remove("limit") {
            None => DEFAULT_LIMIT,
            Some(text) => Some(&text)
                .filter(|text| text.chars().all(|c| c.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| Problem::invalid("limit", format!("is not a number from 1 to {MAX_LIMIT}")))?,
        };
        let next = query.remove("continue").filter(|token| !token.is_empty());
        if next.as_ref().is_some_and(|token| token.chars().count() > MAX_CONTINUE) {
            return Err(Problem::invalid(
                "continue",
                format!("has more than {MAX_CONTINUE} characters"),
            ));
        }
        Ok(Self {
            namespace,
            phase: word(query.remove("phase"), "phase")?,
            severity: word(query.remove("severity"), "severity")?,
            limit,
            next,
        })
    }

    fn wants(&self, incident: &Incident) -> bool {
        let phase = incident.status.as_ref().map(|status| status.phase).unwrap_or_default();
        self.phase.is_none_or(|wanted| wanted == phase)
            && self.severity.is_none_or(|wanted| severity(incident) == Some(wanted))
    }
}

fn word<T: FromStr>(text: Option<String>, field: &str) -> Result<Option<T>, Problem> {
    text.map(|text| T::from_str(&text))
        .transpose()
        .map_err(|_| Problem::invalid(field, "is none of the words that the OpenAPI document lists"))
}

/// Shows one incident.
#[utoipa::path(get, path = "/incidents/{namespace}/{name}", operation_id = "showIncident", tag = "incidents", params(openapi::PathParams), responses(
    (status = 200, description = "The incident, in short", body = IncidentView),
))]
pub async fn one(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    at: Named,
) -> Result<Json<IncidentView>, Problem> {
    let incident = incident(&shared, &caller.user, &at).await?;
    Ok(Json(IncidentView::of(&incident)))
}

/// Shows the full response document of an incident.
#[utoipa::path(get, path = "/incidents/{namespace}/{name}/document", operation_id = "showDocument", tag = "incidents", params(openapi::PathParams), responses(
    (status = 200, description = "What `kubectl incident report -o json` prints. Who may not read approvals gets it without the decision's details", body = ResponseDocumentView),
))]
pub async fn document(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    at: Named,
) -> Result<Json<ResponseDocument>, Problem> {
    let incident = incident(&shared, &caller.user, &at).await?;
    let name = incident
        .status
        .as_ref()
        .and_then(|status| status.approval_ref.as_ref())
        .map(|reference| reference.name.clone());
    let mut row = None;
    if let Some(name) = name {
        let wish = Wish::one("get", "remediationapprovals", &at.namespace, &name);
        if shared.access.may(&caller.user, &wish).await? {
            row = approval(&shared, &at.namespace, &name)
                .await?
                .as_ref()
                .map(ApprovalRow::of);
        }
    }
    let view = StoryView::with_approval(&incident, row);
    Ok(Json(firewatch_core::report::document(&incident, &view)))
}

/// An incident, for who may read it.
pub async fn incident(shared: &Shared, user: &User, at: &Named) -> Result<Incident, Problem> {
    shared
        .access
        .demand(user, Wish::one("get", "incidents", &at.namespace, &at.name))
        .await?;
    Api::<Incident>::namespaced(shared.client.clone(), &at.namespace)
        .get_opt(&at.name)
        .await
        .map_err(|error| Problem::unavailable(&error))?
        .ok_or_else(|| {
            Problem::new(
                Kind::NotFound,
                format!("no incident {} in namespace {}", at.name, at.namespace),
            )
        })
}

/// An approval by its name. Who asks has been asked whether they may.
pub async fn approval(shared: &Shared, namespace: &str, name: &str) -> Result<Option<RemediationApproval>, Problem> {
    Api::<RemediationApproval>::namespaced(shared.client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(|error| Problem::unavailable(&error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(query: &str) -> Result<Asked, Problem> {
        Asked::of(&format!("/incidents?{query}").parse().unwrap())
    }

    #[test]
    fn a_wrong_filter_is_named() {
        for (query, field) in [
            ("namespace=..", "namespace"),
            ("namespace=", "namespace"),
            ("phase=completed", "phase"),
            ("severity=urgent", "severity"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=%2B5", "limit"),
            ("limit=", "limit"),
            ("page=2", "page"),
        ] {
            assert_eq!(asked(query).unwrap_err().field.as_deref(), Some(field), "{query}");
        }
        let all = asked("namespace=shop&phase=AwaitingApproval&severity=high&limit=7&continue=x").unwrap();
        assert_eq!(
            (all.phase, all.limit, all.next.as_deref()),
            (Some(Phase::AwaitingApproval), 7, Some("x"))
        );
    }
}
