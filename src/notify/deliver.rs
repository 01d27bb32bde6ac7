//! Carries one notice to one channel, in the channel's form. Called by `sender`.

use firewatch_core::notify::routing::Channel;
use firewatch_core::notify::{Kind, Notice, cloudevent, pagerduty, signature, slack};
use http::Method;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::config::secret;
use super::email;
use super::http::{Delivery, client, exchange, judged};
use super::slack_app;
use crate::store::outbox::Outbox;

const PAGERDUTY: &str = "https://api.pagerduty.com";

/// A channel, ready to be sent to.
pub struct Line {
    /// What is configured.
    pub channel: Channel,
    pub(super) http: reqwest::Client,
}

impl Line {
    /// With a client of its own: what hangs here hangs nowhere else.
    pub fn new(channel: Channel) -> Result<Self, String> {
        let http = client(channel.ca_file.as_deref())?;
        Ok(Self { channel, http })
    }

    /// One try.
    pub async fn deliver(&self, outbox: &dyn Outbox, notice: &Notice) -> Delivery {
        let done = match self.channel.kind {
            Kind::SlackWebhook => self.slack_webhook(notice).await,
            Kind::SlackApp => slack_app::deliver(self, outbox, notice).await,
            Kind::Webhook => self.webhook(notice).await,
            Kind::Pagerduty => self.pagerduty(notice).await,
            Kind::Email => email::deliver(self, notice).await,
        };
        done.unwrap_or_else(|not| not)
    }

    /// The address, from the file or from the configuration.
    pub(super) fn url(&self, usual: &str) -> Result<String, Delivery> {
        match (&self.channel.url_file, &self.channel.url) {
            (Some(path), _) => {
                let url = secret(path).map_err(Delivery::again)?;
                // What the file holds may be repaired meanwhile.
                firewatch_core::notify::routing::check_url(&url)
                    .map_err(|problem| Delivery::again(format!("urlFile {problem}")))?;
                Ok(url)
            }
            (None, Some(url)) => Ok(url.clone()),
            (None, None) => Ok(usual.to_owned()),
        }
    }

    pub(super) fn token(&self) -> Result<String, Delivery> {
        let path = self.channel.token_file.as_deref();
        let path = path.ok_or_else(|| Delivery::again("no tokenFile"))?;
        secret(path).map_err(Delivery::again)
    }

    async fn slack_webhook(&self, notice: &Notice) -> Result<Delivery, Delivery> {
        let request = self
            .http
            .post(self.url("")?)
            .header("content-type", "application/json; charset=utf-8")
            .body(slack::message(notice).to_string());
        Ok(judged(&exchange(request).await?))
    }

    async fn webhook(&self, notice: &Notice) -> Result<Delivery, Delivery> {
        let path = self.channel.secret_file.as_deref();
        let key = secret(path.ok_or_else(|| Delivery::again("no secretFile"))?).map_err(Delivery::again)?;
        let body = cloudevent::event(notice).to_string();
        // Signed anew for each try: a receiver may refuse what is old.
        let now = Timestamp::now().as_second();
        let signed =
            signature::sign(key.as_bytes(), now, body.as_bytes()).ok_or_else(|| Delivery::again("no secret"))?;
        let request = self
            .http
            .post(self.url("")?)
            .header("content-type", cloudevent::CONTENT_TYPE)
            .header(signature::TIMESTAMP_HEADER, now)
            .header(signature::SIGNATURE_HEADER, signed)
            .body(body);
        Ok(judged(&exchange(request).await?))
    }

    async fn pagerduty(&self, notice: &Notice) -> Result<Delivery, Delivery> {
        let (base, token) = (self.url(PAGERDUTY)?, self.token()?);
        let from = self.channel.from.clone().unwrap_or_default();
        for one in pagerduty::requests(notice) {
            let method = if one.method == "PUT" { Method::PUT } else { Method::POST };
            let request = self
                .http
                .request(method, format!("{}{}", base.trim_end_matches('/'), one.path))
                .header("accept", "application/vnd.pagerduty+json;version=2")
                .header("authorization", format!("Token token={token}"))
                .header("content-type", "application/json")
                .header("from", &from)
                .body(one.body.to_string());
            let answer = exchange(request).await?;
            // An incident that is already resolved refuses to be so again; its note is taken all the same.
            if one.method == "PUT" && answer.status == http::StatusCode::BAD_REQUEST && is_resolved(&answer.body) {
                continue;
            }
            match judged(&answer) {
                Delivery::Sent => {}
                not => return Ok(not),
            }
        }
        Ok(Delivery::Sent)
    }
}

/// PagerDuty's `Incident Already Resolved`.
fn is_resolved(body: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    answer.to_string().to_ascii_lowercase().contains("already resolved")
}
