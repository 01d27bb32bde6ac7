//! Receivers that refuse, hang, are down; a sender that is killed; a database that is away. In order, at least once, nothing lost, and
//! nobody else held up.

use std::sync::Arc;
use std::time::Duration;

use firewatch::notify::NotifyError;
use firewatch::notify::sender::{Pace, Sender};
use firewatch::store::file::FileSink;
use firewatch::store::postgres::PostgresSink;
use firewatch_core::notify::signature;
use serde_json::json;

use crate::database::with_database;
use crate::receiver::{Receiver, Say};
use crate::world::{SECRET, World, asked, ended, entry, incident, opened, quiet};

const HOOK: &str = "channels: [{name: hook, kind: webhook, urlFile: FOLDER/url, secretFile: FOLDER/secret}]";

fn refused(status: u16) -> Say {
    Say::This(status, None, "no".into())
}

fn types(heard: &[crate::receiver::Request]) -> Vec<String> {
    heard
        .iter()
        .map(|r| {
            r.json()["type"]
                .as_str()
                .unwrap()
                .trim_start_matches("dev.firewatch.incident.")
                .to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_webhook_gets_signed_events_in_order_again_after_500_and_429_and_each_once() {
    with_database(async |database| {
        let receiver = Receiver::start(&[refused(500), Say::This(429, Some(0), String::new())], "").await;
        let world = World::new(database, &receiver.url(), HOOK);
        let one = incident();
        world.relays(&one, &[opened(), quiet(), asked()]).await;
        // The relay comes again with the same, as after a crash.
        world.relays(&one, &[opened(), quiet(), asked(), ended()]).await;
        let sender = world.sends();
        world.ends().await;
        let heard = receiver.heard();
        assert_eq!(types(&heard), ["opened", "opened", "opened", "approvalNeeded", "ended"]);
        let last = heard.last().unwrap();
        assert_eq!(
            last.header("content-type"),
            "application/cloudevents+json; charset=utf-8"
        );
        let event = last.json();
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(
            event["id"],
            json!(format!("{}/9", one.metadata.uid.as_deref().unwrap()))
        );
        assert_eq!(
            event["source"],
            "/apis/firewatch.dev/v1alpha1/namespaces/shop/incidents/checkout-restarts"
        );
        assert_eq!(event["data"]["outcome"], "Remediated");
        assert_eq!(event["data"]["cause"]["confidence"], "0.96");
        for request in &heard {
            let at: i64 = request.header(signature::TIMESTAMP_HEADER).parse().unwrap();
            let right = signature::sign(SECRET.as_bytes(), at, &request.body).unwrap();
            assert_eq!(request.header(signature::SIGNATURE_HEADER), right);
        }
        let shown = world.metrics.render();
        for line in [
            "firewatch_notifications_total{kind=\"webhook\",result=\"Sent\"} 3",
            "firewatch_notifications_total{kind=\"webhook\",result=\"Retried\"} 2",
            "firewatch_notifications_total{kind=\"webhook\",result=\"Dead\"} 0",
        ] {
            assert!(shown.contains(line), "{line} is not in:\n{shown}");
        }
        sender.stops().await;
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_was_replaced_holds_at_once() {
    with_database(async |database| {
        let receiver = Receiver::start(&[], "").await;
        let world = World::new(database, &receiver.url(), HOOK);
        let sender = world.sends();
        world.relays(&incident(), &[opened()]).await;
        receiver.hears(1).await;
        std::fs::write(world.folder.path().join("secret"), "another").unwrap();
        world.relays(&incident(), &[opened()]).await;
        let heard = receiver.hears(2).await;
        let at: i64 = heard[1].header(signature::TIMESTAMP_HEADER).parse().unwrap();
        let right = signature::sign(b"another", at, &heard[1].body).unwrap();
        assert_eq!(heard[1].header(signature::SIGNATURE_HEADER), right);
        sender.stops().await;
    })
    .await;
}

#[tokio::test]
async fn what_a_killed_sender_had_begun_is_sent_again_before_what_comes_after() {
    with_database(async |database| {
        let receiver = Receiver::start(&[Say::Nothing], "").await;
        let world = World::new(database, &receiver.url(), HOOK);
        world.relays(&incident(), &[opened(), ended()]).await;
        let first = world.sends_for(Duration::from_secs(1));
        receiver.hears(1).await;
        first.dies().await;
        // Beside another that is alive: one claims what the other does not.
        let (second, third) = (world.sends(), world.sends());
        let rows = world.ends().await;
        assert_eq!(types(&receiver.heard()), ["opened", "opened", "ended"]);
        assert_eq!(rows[0].3, 2, "{rows:?}");
        second.stops().await;
        third.stops().await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_lost_while_a_receiver_is_down() {
    with_database(async |database| {
        let place = Receiver::start(&[], "").await.stops().await;
        let world = World::new(database, &format!("http://{place}"), HOOK);
        let (one, other) = (incident(), incident());
        world.relays(&one, &[opened(), asked(), ended()]).await;
        world.relays(&other, &[opened(), ended()]).await;
        let sender = world.sends();
        for _ in 0..500 {
            if world.rows().await.iter().filter(|row| row.3 >= 2).count() == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let tried: Vec<i64> = world
            .rows()
            .await
            .iter()
            .filter(|row| row.3 > 0)
            .map(|row| row.1)
            .collect();
        assert_eq!(tried, [1, 1], "only the first of each incident is tried");
        let receiver = Receiver::at(place, &[], "").await;
        world.ends().await;
        let heard = receiver.heard();
        for (incident, expected) in [(&one, vec![1, 5, 9]), (&other, vec![1, 9])] {
            let uid = incident.metadata.uid.as_deref().unwrap();
            let numbers: Vec<i64> = heard
                .iter()
                .map(|r| r.json()["data"].clone())
                .filter(|data| data["incidentUid"] == uid)
                .map(|data| data["sequence"].as_i64().unwrap())
                .collect();
            assert_eq!(numbers, expected);
        }
        sender.stops().await;
    })
    .await;
}

#[tokio::test]
async fn what_a_receiver_refuses_for_good_is_given_up_and_the_next_goes_on() {
    with_database(async |database| {
        let receiver = Receiver::start(&[refused(400)], "").await;
        let world = World::new(database, &receiver.url(), HOOK);
        world.relays(&incident(), &[opened(), ended()]).await;
        let sender = world.sends();
        let states: Vec<_> = world.ends().await.into_iter().map(|row| (row.1, row.2)).collect();
        assert_eq!(states, [(1, "dead".to_owned()), (9, "sent".to_owned())]);
        assert_eq!(receiver.heard().len(), 2, "a refusal is not tried again");
        let shown = world.metrics.render();
        assert!(
            shown.contains("firewatch_notifications_total{kind=\"webhook\",result=\"Dead\"} 1"),
            "{shown}"
        );
        sender.stops().await;
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_neither_the_relay_nor_another_channel_up() {
    with_database(async |database| {
        let hangs = Receiver::start(&vec![Say::Nothing; 8], "").await;
        let works = Receiver::start(&[], "").await;
        let config = format!(
            "channels:\n- {{name: a, kind: webhook, url: '{}', secretFile: FOLDER/secret}}\n- {{name: b, kind: webhook, url: '{}', secretFile: FOLDER/secret}}",
            hangs.url(),
            works.url()
        );
        let world = World::new(database, "", &config);
        let sender = world.sends();
        let one = incident();
        world.relays(&one, &[opened()]).await;
        hangs.hears(1).await;
        world.relays(&one, &[asked(), ended()]).await;
        assert_eq!(types(&works.hears(3).await), ["opened", "approvalNeeded", "ended"]);
        assert_eq!(hangs.heard().len(), 1);
        sender.dies().await;
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_a_channel_that_is_gone_is_given_up_at_the_start() {
    with_database(async |database| {
        let receiver = Receiver::start(&[], "").await;
        let before = World::new(database, &receiver.url(), &HOOK.replace("name: hook", "name: old"));
        before.relays(&incident(), &[opened()]).await;
        let world = World::new(database, &receiver.url(), HOOK);
        let sender = world.sends();
        assert_eq!(world.ends().await[0].2, "dead");
        assert!(receiver.heard().is_empty());
        sender.stops().await;
    })
    .await;
}

#[tokio::test]
async fn duplicates_and_what_waits_for_another_are_never_told() {
    with_database(async |database| {
        let world = World::new(database, "http://127.0.0.1:1", HOOK);
        let mut duplicate = incident();
        duplicate.status.as_mut().unwrap().outcome = Some(firewatch_core::api::Outcome::Duplicate);
        let entries = [
            entry(1, "Pending", "Blocked"),
            entry(2, "Blocked", "Blocked"),
            entry(3, "Blocked", "Completed"),
        ];
        world.relays(&duplicate, &entries).await;
        assert!(world.rows().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_outbox_that_is_away_is_told_to_the_relay_and_one_that_is_broken_holds_nothing_up() {
    with_database(async |database| {
        let world = World::new(database, "http://127.0.0.1:1", HOOK);
        let away = PostgresSink::connect("postgres://u:p@127.0.0.1:1/d").unwrap();
        let error = world
            .notifier
            .enqueue(&away, &world.metrics, &incident(), &[opened()])
            .await
            .unwrap_err();
        assert!(error.is_transient(), "{error}");
        database.as_owner("REVOKE ALL ON notifications FROM firewatch").await;
        world.relays(&incident(), &[opened()]).await;
        let shown = world.metrics.render();
        assert!(
            shown.contains("firewatch_notifications_total{kind=\"webhook\",result=\"Dead\"} 1"),
            "{shown}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_file_keeps_no_outbox_and_the_operator_says_so_at_its_start() {
    with_database(async |database| {
        let world = World::new(database, "http://127.0.0.1:1", HOOK);
        let folder = tempfile::tempdir().unwrap();
        let file = Arc::new(FileSink::open(&folder.path().join("audit.jsonl")).unwrap());
        let sender = Sender::new(
            file,
            world.notifier.clone(),
            world.metrics.clone(),
            None,
            Pace::default(),
        );
        assert!(matches!(sender.err(), Some(NotifyError::NoOutbox)));
    })
    .await;
}
