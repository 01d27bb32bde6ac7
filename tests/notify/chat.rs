//! Slack and PagerDuty, as their APIs are.

use serde_json::{Value, json};

use crate::database::with_database;
use crate::receiver::{Receiver, Request, Say};
use crate::world::{World, asked, awaiting, ended, incident, opened};

fn said(body: &Value) -> Say {
    Say::This(200, None, body.to_string())
}

fn header_of(request: &Request) -> String {
    request.json()["blocks"][0]["text"]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_incoming_webhook_gets_one_message_for_each_notice() {
    with_database(async |database| {
        let receiver = Receiver::start(&[], "ok").await;
        let config = "channels: [{name: ops, kind: slack-webhook, urlFile: FOLDER/url}]";
        let world = World::new(database, &format!("{}/services/T/B/x", receiver.url()), config);
        let mut hostile = awaiting(&incident());
        hostile.spec.title = "<!channel> `x` @here".into();
        world.relays(&hostile, &[opened(), asked()]).await;
        let sender = world.sends();
        world.ends().await;
        let heard = receiver.heard();
        assert_eq!(
            heard.iter().map(|r| r.path.as_str()).collect::<Vec<_>>(),
            ["/services/T/B/x"; 2]
        );
        assert_eq!(
            header_of(&heard[1]),
            "[critical] Approval needed: &lt;!channel&gt; `x` @\u{200b}here"
        );
        let body = heard[1].json().to_string();
        assert!(
            body.contains("kubectl patch rap checkout-restarts-00000000000000000000000000000000 -n shop --type=merge")
        );
        assert!(body.contains("PAYMENT_GATEWAY_URL"));
        sender.stops().await;
    })
    .await;
}

const APP: &str =
    "channels: [{name: app, kind: slack-app, url: 'URL/api', tokenFile: FOLDER/token, channel: C0123456789}]";

fn calls(heard: &[Request]) -> Vec<String> {
    heard
        .iter()
        .map(|request| {
            let body = request.json();
            let method = request.path.trim_start_matches("/api/");
            let ts = body["thread_ts"].as_str().map(|ts| format!(" in {ts}"));
            let of = body["ts"].as_str().map(|ts| format!(" of {ts}"));
            format!("{method}{}{}", ts.unwrap_or_default(), of.unwrap_or_default())
        })
        .collect()
}

#[tokio::test]
async fn an_app_keeps_one_thread_for_each_incident_and_renews_its_first_message() {
    with_database(async |database| {
        let posted = json!({ "ok": true, "channel": "C0123456789", "ts": "17.1" });
        let receiver = Receiver::start(&[said(&posted)], r#"{"ok":true,"ts":"17.2"}"#).await;
        let world = World::new(database, "", &APP.replace("URL", &receiver.url()));
        let one = incident();
        world.relays(&awaiting(&one), &[opened(), asked()]).await;
        let sender = world.sends();
        receiver.hears(4).await;
        sender.stops().await;
        // Another process goes on in the same thread.
        world.relays(&one, &[ended()]).await;
        let sender = world.sends();
        world.ends().await;
        let heard = receiver.heard();
        assert_eq!(
            calls(&heard),
            [
                "chat.postMessage",
                "chat.postMessage in 17.1",
                "chat.update of 17.1",
                "chat.postMessage in 17.1",
                "chat.update of 17.1",
                "chat.postMessage in 17.1",
            ]
        );
        for request in &heard {
            assert_eq!(request.header("authorization"), "Bearer xoxb-1");
            assert_eq!(request.json()["channel"], "C0123456789");
        }
        assert!(header_of(&heard[2]).contains("Approval needed"));
        assert!(heard[2].json().to_string().contains("kubectl patch rap"));
        assert!(header_of(&heard[4]).contains("Remediated"));
        assert!(
            !heard[4].json().to_string().contains("kubectl patch rap"),
            "what is over asks for nothing"
        );
        sender.stops().await;
    })
    .await;
}

#[tokio::test]
async fn an_app_that_is_told_to_wait_waits_and_a_thread_that_is_gone_begins_anew() {
    with_database(async |database| {
        let answers = [
            said(&json!({ "ok": false, "error": "ratelimited" })),
            said(&json!({ "ok": true, "channel": "C0123456789", "ts": "1" })),
            said(&json!({ "ok": true })),
            said(&json!({ "ok": false, "error": "message_not_found" })),
            said(&json!({ "ok": true, "channel": "C0123456789", "ts": "2" })),
        ];
        let receiver = Receiver::start(&answers, r#"{"ok":true}"#).await;
        let world = World::new(database, "", &APP.replace("URL", &receiver.url()));
        world.relays(&incident(), &[opened(), ended()]).await;
        let sender = world.sends();
        let rows = world.ends().await;
        assert!(rows.iter().all(|row| row.2 == "sent"), "{rows:?}");
        assert_eq!(
            calls(&receiver.heard()),
            [
                "chat.postMessage",
                "chat.postMessage",
                "chat.postMessage in 1",
                "chat.update of 1",
                "chat.postMessage",
                "chat.postMessage in 2",
            ]
        );
        sender.stops().await;
    })
    .await;
}

#[tokio::test]
async fn pagerduty_is_acknowledged_noted_and_resolved() {
    with_database(async |database| {
        let already = json!({ "error": { "message": "Invalid Input Provided", "code": 2001, "errors": ["Incident Already Resolved"] } });
        let answers = [
            Say::This(503, None, String::new()),
            Say::This(200, None, "{}".into()),
            Say::This(201, None, "{}".into()),
            Say::This(400, None, already.to_string()),
        ];
        let receiver = Receiver::start(&answers, "{}").await;
        let config = format!(
            "channels: [{{name: pd, kind: pagerduty, url: '{}', tokenFile: FOLDER/token, from: ops@example.com}}]",
            receiver.url()
        );
        let world = World::new(database, "", &config);
        let mut one = incident();
        one.spec.alert = Some(serde_json::from_value(json!({ "source": "pagerduty", "fingerprint": "Q1" })).unwrap());
        world.relays(&one, &[opened()]).await;
        assert!(world.rows().await.is_empty(), "a spec alone is anybody's word");
        let mark = firewatch_core::intake::pagerduty::mark("Q1");
        let alerts = json!({ "firing": 1, "lastReceivedAt": "2026-03-01T03:00:00Z", "seen": [mark] });
        one.status.as_mut().unwrap().alerts = Some(serde_json::from_value(alerts).unwrap());
        world.relays(&one, &[opened(), ended()]).await;
        let sender = world.sends();
        let rows = world.ends().await;
        assert!(rows.iter().all(|row| row.2 == "sent"), "{rows:?}");
        let heard = receiver.heard();
        let asked: Vec<String> = heard.iter().map(|r| format!("{} {}", r.method, r.path)).collect();
        assert_eq!(
            asked,
            [
                "PUT /incidents/Q1",
                "PUT /incidents/Q1",
                "POST /incidents/Q1/notes",
                "PUT /incidents/Q1",
                "POST /incidents/Q1/notes",
            ]
        );
        let change = |status: &str| json!({ "incident": { "type": "incident_reference", "status": status } });
        assert_eq!(heard[1].json(), change("acknowledged"));
        assert_eq!(heard[3].json(), change("resolved"));
        let note = heard[4].json()["note"]["content"].as_str().unwrap().to_owned();
        assert!(note.contains("Remediated") && note.contains("Cause: ") && note.contains("confidence 0.96"), "{note}");
        for request in &heard {
            assert_eq!(request.header("authorization"), "Token token=xoxb-1");
            assert_eq!(request.header("from"), "ops@example.com");
            assert_eq!(request.header("accept"), "application/vnd.pagerduty+json;version=2");
        }
        sender.stops().await;
    })
    .await;
}
