//! What every request goes through: an id and a count for all of them; for those of a known route, who calls, whether they may call so
//! often, a turn, and an end. Called by `server`'s router.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use k8s_openapi::jiff::Timestamp;

use super::caller::{Bearer, Caller, User};
use super::problem::{Kind, Problem};
use super::server::Shared;
use crate::intake::auth;
use crate::intake::server::{FORGET, collect};
use crate::telemetry::metrics::{ApiLabel, RouteLabel};

/// Names a request in answers and logs.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const HANDLED: Duration = Duration::from_secs(30);
const TURN: Duration = Duration::from_secs(2);

/// An id, a count and, for what no route answers, a problem document.
pub async fn envelope(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let method = method(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none".to_owned(), |path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers().get(header::ALLOW).cloned();
        response = Problem::new(
            Kind::MethodNotAllowed,
            "this path is not served with this method; see Allow",
        )
        .into_response();
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    tracing::debug!(%id, method, %route, status = response.status().as_u16(), "a request of the HTTP API");
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    shared
        .metrics
        .api_seconds
        .get_or_create(&RouteLabel { route: route.clone() })
        .observe(began.elapsed().as_secs_f64());
    shared
        .metrics
        .api_requests
        .get_or_create(&ApiLabel {
            route,
            method,
            status: response.status().as_u16(),
        })
        .inc();
    response
}

/// The caller's own id where it is a short word, else one of ours.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|text| (1..=64).contains(&text.len()) && text.chars().all(plain))
        .map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

/// A closed set: a caller may send any word.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}

/// Admits a caller to a handler, or answers why not. Of a caller who is not known nothing is parsed.
pub async fn admit(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let caller = match caller(&shared, request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => {
            // A small body is read and forgotten, so that the answer is heard.
            let _ = tokio::time::timeout(FORGET, collect(request.into_body(), 0)).await;
            return problem.into_response();
        }
    };
    // From here on only `caller` knows the token, and it does not print it.
    request.headers_mut().remove(header::AUTHORIZATION);
    if !has_turn(&shared, &caller.user) {
        let problem = Problem::new(Kind::RateLimited, "more requests than one user may send; slow down");
        return problem.into_response();
    }
    let overloaded = || Problem::new(Kind::Overloaded, "more than can be handled at once; try again").into_response();
    let Ok(Ok(_turn)) = tokio::time::timeout(TURN, shared.turns.acquire()).await else {
        return overloaded();
    };
    request.extensions_mut().insert(caller);
    match tokio::time::timeout(HANDLED, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            Kind::TimedOut,
            "it took too long; what was asked may have been done: look before you try again",
        )
        .into_response(),
    }
}

async fn caller(shared: &Shared, headers: &HeaderMap) -> Result<Caller, Problem> {
    let unknown = || {
        Problem::new(
            Kind::Unauthenticated,
            "send a valid token as `Authorization: Bearer …`: one of the cluster's (kubectl create token NAME), or one of the token file",
        )
    };
    let token = auth::bearer(headers).and_then(Bearer::new).ok_or_else(unknown)?;
    if let Some(tokens) = &shared.tokens
        && let Some(name) = tokens.owner(token.expose()).await
    {
        return Ok(Caller {
            user: User::of_the_file(&name),
            own_token: None,
        });
    }
    if !shared.token_review {
        return Err(unknown());
    }
    let user = shared.access.who(&token).await?.ok_or_else(unknown)?;
    Ok(Caller {
        user,
        own_token: Some(Arc::new(token)),
    })
}

fn has_turn(shared: &Shared, user: &User) -> bool {
    let Some(buckets) = &shared.buckets else { return true };
    // A poisoned lock holds a count: going on with it harms nobody.
    let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
    buckets.admits(&user.name, Timestamp::now())
}
