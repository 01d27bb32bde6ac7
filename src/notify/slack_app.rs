//! A Slack app: one thread for each incident, whose first message is renewed in place. Which message that is stands in Postgres. Called by
//! `deliver`.

use firewatch_core::notify::{Notice, slack};
use serde_json::{Value, json};

use super::deliver::Line;
use super::http::{Delivery, exchange, judged};
use crate::store::outbox::{Outbox, Thread};

const API: &str = "https://slack.com/api";
/// What passes by itself, or once a person has put another token into the file.
const PASSING: [&str; 14] = [
    "ratelimited",
    "rate_limited",
    "message_limit_exceeded",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
    "not_authed",
    "invalid_auth",
    "token_expired",
    "token_revoked",
    "account_inactive",
    "missing_scope",
];
/// The message is no longer there: a new one begins another thread.
const GONE: [&str; 3] = ["message_not_found", "thread_not_found", "channel_not_found"];

enum Refused {
    Gone,
    Other(Delivery),
}

pub(super) async fn deliver(line: &Line, outbox: &dyn Outbox, notice: &Notice) -> Result<Delivery, Delivery> {
    let name = &line.channel.name;
    let known = outbox
        .thread(&notice.incident_uid, name)
        .await
        .map_err(|error| Delivery::again(error.to_string()))?;
    let thread = match known {
        Some(thread) => match renew(line, notice, &thread).await {
            Ok(()) => thread,
            Err(Refused::Gone) => begin(line, outbox, notice).await?,
            Err(Refused::Other(not)) => return Ok(not),
        },
        None => begin(line, outbox, notice).await?,
    };
    let mut body = slack::message(notice);
    set(&mut body, "channel", &thread.place);
    set(&mut body, "thread_ts", &thread.message);
    match call(line, "chat.postMessage", &body).await {
        Ok(_) => Ok(Delivery::Sent),
        // Somebody took the thread away a moment ago: the next try begins another.
        Err(Refused::Gone) => Ok(Delivery::again("the thread is gone")),
        Err(Refused::Other(not)) => Ok(not),
    }
}

/// The first message. Where this process dies before it is remembered, there will be two.
async fn begin(line: &Line, outbox: &dyn Outbox, notice: &Notice) -> Result<Thread, Delivery> {
    let place = line.channel.channel.clone().unwrap_or_default();
    let mut body = slack::card(notice);
    set(&mut body, "channel", &place);
    let answer = call(line, "chat.postMessage", &body)
        .await
        .map_err(|refused| match refused {
            Refused::Gone => Delivery::Never {
                why: "channel_not_found: give the id of a channel that the app was invited to".to_owned(),
            },
            Refused::Other(not) => not,
        })?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
    let message = text("ts").ok_or_else(|| Delivery::again("Slack named no message"))?;
    let thread = Thread {
        place: text("channel").unwrap_or(place),
        message,
    };
    outbox
        .remember_thread(&notice.incident_uid, &line.channel.name, &thread)
        .await
        .map_err(|error| Delivery::again(error.to_string()))?;
    Ok(thread)
}

async fn renew(line: &Line, notice: &Notice, thread: &Thread) -> Result<(), Refused> {
    let mut body = slack::card(notice);
    set(&mut body, "channel", &thread.place);
    set(&mut body, "ts", &thread.message);
    call(line, "chat.update", &body).await.map(drop)
}

fn set(body: &mut Value, key: &str, value: &str) {
    if let Some(map) = body.as_object_mut() {
        map.insert(key.to_owned(), json!(value));
    }
}

/// One call of the API: its answer where it was done.
async fn call(line: &Line, method: &str, body: &Value) -> Result<Value, Refused> {
    let (base, token) = (
        line.url(API).map_err(Refused::Other)?,
        line.token().map_err(Refused::Other)?,
    );
    let request = line
        .http
        .post(format!("{}/{method}", base.trim_end_matches('/')))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json; charset=utf-8")
        .body(body.to_string());
    let answer = exchange(request).await.map_err(Refused::Other)?;
    match judged(&answer) {
        Delivery::Sent => {}
        not => return Err(Refused::Other(not)),
    }
    let said: Value = serde_json::from_slice(&answer.body)
        .map_err(|_| Refused::Other(Delivery::again("Slack's answer is no JSON")))?;
    if said.get("ok") == Some(&Value::Bool(true)) {
        return Ok(said);
    }
    let error = said.get("error").and_then(Value::as_str).unwrap_or("no reason");
    let why = format!("{method}: {error}");
    Err(match error {
        _ if GONE.contains(&error) => Refused::Gone,
        _ if PASSING.contains(&error) => Refused::Other(Delivery::Again {
            why,
            after: answer.after,
        }),
        _ => Refused::Other(Delivery::Never { why }),
    })
}
