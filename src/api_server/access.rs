//! Who a token belongs to, and what they may: both are the API server's to say. Behind a small trait, so that tests can answer in its
//! place. Yes is remembered for a few seconds, under a hash of the token; no is asked again, and so is whatever writes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::Semaphore;

use super::caller::{Bearer, User};
use super::problem::{Kind, Problem};
use crate::intake::auth;

/// How long a yes is remembered.
const REMEMBERED: Duration = Duration::from_secs(10);
/// More are not remembered.
const MAX_REMEMBERED: usize = 1024;
/// So many are asked at once: strangers cannot make the operator flood the API server.
const REVIEWS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    /// `get`, `list`, `watch`, `create`, `patch`.
    pub verb: &'static str,
    /// `incidents`, `remediationapprovals`.
    pub resource: &'static str,
    /// Absent: in the whole cluster.
    pub namespace: Option<String>,
    /// Of one object.
    pub name: Option<String>,
}

impl Wish {
    /// With one object of a namespace.
    pub fn one(verb: &'static str, resource: &'static str, namespace: &str, name: &str) -> Self {
        Self {
            verb,
            resource,
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
        }
    }

    /// With all of a namespace, or of the cluster.
    pub fn all(verb: &'static str, resource: &'static str, namespace: Option<&str>) -> Self {
        Self {
            verb,
            resource,
            namespace: namespace.map(str::to_owned),
            name: None,
        }
    }

    fn writes(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
    }
}

/// Says who somebody is and what they may.
pub trait Authority: Send + Sync {
    /// Whose token this is; nobody's where it is not valid.
    fn review<'a>(&'a self, token: &'a Bearer) -> BoxFuture<'a, Result<Option<User>, kube::Error>>;
    /// Whether they may.
    fn may<'a>(&'a self, user: &'a User, wish: &'a Wish) -> BoxFuture<'a, Result<bool, kube::Error>>;
}

/// The API server.
pub struct Cluster {
    client: Client,
    audiences: Vec<String>,
}

impl Cluster {
    /// Asked by this client, for tokens of these audiences.
    pub fn new(client: Client, audiences: Vec<String>) -> Self {
        Self { client, audiences }
    }
}

impl Authority for Cluster {
    fn review<'a>(&'a self, token: &'a Bearer) -> BoxFuture<'a, Result<Option<User>, kube::Error>> {
        Box::pin(async move {
            let wanted = Some(self.audiences.clone()).filter(|list| !list.is_empty());
            let review = TokenReview {
                spec: TokenReviewSpec {
                    token: Some(token.expose().to_owned()),
                    audiences: wanted.clone(),
                },
                ..TokenReview::default()
            };
            // Not through the client's own parser: it logs what it cannot read, and an answer repeats the token.
            let body = serde_json::to_vec(&review).map_err(kube::Error::SerdeError)?;
            let request = http::Request::post("/apis/authentication.k8s.io/v1/tokenreviews")
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(body)
                .map_err(kube::Error::HttpError)?;
            let text = self.client.request_text(request).await?;
            let answer: TokenReview =
                serde_json::from_str(&text).map_err(|_| kube::Error::Service("not a TokenReview".into()))?;
            let status = answer.status.unwrap_or_default();
            // An authenticator that knows nothing of audiences answers with none: such a token is for the API server only.
            let meant = wanted.is_none_or(|wanted| {
                let of = status.audiences.unwrap_or_default();
                of.iter().any(|one| wanted.contains(one))
            });
            if status.authenticated != Some(true) || !meant {
                return Ok(None);
            }
            Ok(status.user.and_then(|user| {
                Some(User {
                    name: user.username.filter(|name| !name.is_empty())?,
                    uid: user.uid,
                    groups: user.groups.unwrap_or_default(),
                    extra: user.extra.unwrap_or_default(),
                })
            }))
        })
    }

    fn may<'a>(&'a self, user: &'a User, wish: &'a Wish) -> BoxFuture<'a, Result<bool, kube::Error>> {
        Box::pin(async move {
            let review = SubjectAccessReview {
                spec: SubjectAccessReviewSpec {
                    user: Some(user.name.clone()),
                    uid: user.uid.clone(),
                    groups: Some(user.groups.clone()),
                    extra: Some(user.extra.clone()),
                    resource_attributes: Some(ResourceAttributes {
                        group: Some(firewatch_core::api::GROUP.to_owned()),
                        version: Some(firewatch_core::api::VERSION.to_owned()),
                        resource: Some(wish.resource.to_owned()),
                        verb: Some(wish.verb.to_owned()),
                        namespace: wish.namespace.clone(),
                        name: wish.name.clone(),
                        ..ResourceAttributes::default()
                    }),
                    ..SubjectAccessReviewSpec::default()
                },
                ..SubjectAccessReview::default()
            };
            let answer = Api::<SubjectAccessReview>::all(self.client.clone())
                .create(&PostParams::default(), &review)
                .await?;
            Ok(answer
                .status
                .is_some_and(|status| status.allowed && status.denied != Some(true)))
        })
    }
}

/// An authority that is asked no more often than it must be.
pub struct Access {
    authority: Box<dyn Authority>,
    users: Mutex<Remembered<auth::Hash, User>>,
    allowed: Mutex<Remembered<(User, Wish), ()>>,
    reviews: Semaphore,
}

impl Access {
    /// With nothing remembered.
    pub fn new(authority: Box<dyn Authority>) -> Self {
        Self {
            authority,
            users: Mutex::default(),
            allowed: Mutex::default(),
            reviews: Semaphore::new(REVIEWS),
        }
    }

    /// Whose token this is.
    pub async fn who(&self, token: &Bearer) -> Result<Option<User>, Problem> {
        let digest = token.digest();
        if let Some(user) = lock(&self.users).get(&digest, Instant::now()) {
            return Ok(Some(user));
        }
        let user = self.ask(self.authority.review(token)).await?;
        if let Some(user) = &user {
            lock(&self.users).put(digest, user.clone(), Instant::now());
        }
        Ok(user)
    }

    /// Refuses what they may not.
    pub async fn demand(&self, user: &User, wish: Wish) -> Result<(), Problem> {
        if self.may(user, &wish).await? {
            return Ok(());
        }
        Err(Problem::forbidden(
            &user.name,
            wish.verb,
            wish.resource,
            wish.namespace.as_deref(),
        ))
    }

    /// Whether they may.
    pub async fn may(&self, user: &User, wish: &Wish) -> Result<bool, Problem> {
        let key = (user.clone(), wish.clone());
        if !wish.writes() && lock(&self.allowed).get(&key, Instant::now()).is_some() {
            return Ok(true);
        }
        let allowed = self.ask(self.authority.may(user, wish)).await?;
        if allowed && !wish.writes() {
            lock(&self.allowed).put(key, (), Instant::now());
        }
        Ok(allowed)
    }

    async fn ask<T>(&self, question: BoxFuture<'_, Result<T, kube::Error>>) -> Result<T, Problem> {
        let busy = || {
            Problem::new(
                Kind::Overloaded,
                "too many callers are being asked who they are; try again",
            )
        };
        let answer = async {
            let _turn = self.reviews.acquire().await.map_err(|_| busy())?;
            question.await.map_err(|error| {
                tracing::warn!(%error, "a caller's rights could not be asked");
                Problem::new(
                    Kind::Unavailable,
                    "the API server could not be asked who calls; try again",
                )
            })
        };
        tokio::time::timeout(PATIENCE, answer).await.map_err(|_| busy())?
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A poisoned lock holds answers that are still true.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers of the last seconds, so many at most.
struct Remembered<K, V>(HashMap<K, (V, Instant)>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    fn get(&self, key: &K, now: Instant) -> Option<V> {
        self.0
            .get(key)
            .filter(|(_, at)| now.duration_since(*at) < REMEMBERED)
            .map(|(value, _)| value.clone())
    }

    fn put(&mut self, key: K, value: V, now: Instant) {
        if self.0.len() >= MAX_REMEMBERED {
            self.0.retain(|_, (_, at)| now.duration_since(*at) < REMEMBERED);
        }
        if self.0.len() < MAX_REMEMBERED {
            self.0.insert(key, (value, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_is_forgotten_after_ten_seconds_and_no_more_than_so_many_are_kept() {
        let start = Instant::now();
        let mut remembered = Remembered::default();
        remembered.put(0, "alice", start);
        assert_eq!(remembered.get(&0, start + Duration::from_secs(9)), Some("alice"));
        assert_eq!(remembered.get(&0, start + Duration::from_secs(10)), None);
        for key in 1..3000 {
            remembered.put(key, "bob", start);
        }
        assert_eq!(remembered.0.len(), MAX_REMEMBERED);
        remembered.put(5000, "carol", start + Duration::from_secs(11));
        assert_eq!(
            remembered.get(&5000, start + Duration::from_secs(11)),
            Some("carol"),
            "what is stale makes room"
        );
    }
}
