//! One push service is away: the others don't notice, and what was for it comes when it is back.

use super::world::{World, browser, direct, emptied, in_time, queues, register};
use crate::support::cid;
use crate::support::client::Client;
use kaiwa_provider_doubles::{Action, Double, Step};
use serde_json::json;
use std::time::Duration;

/// Three to each of these rooms: what comes one by one.
const ROOMS: usize = 8;
const ALL: u64 = 3 * ROOMS as u64;

/// How often a message of this queue has been received, at most.
fn most_receives(world: &World, queue: &str) -> i64 {
    use rusqlite::{Connection, OpenFlags};
    let path = world.data().join("kaiwa.db");
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let most = "SELECT coalesce(max(receives), 0) FROM queue_messages m JOIN queue_names n
        ON n.no = m.queue WHERE n.name = ?1";
    database.query_row(most, [queue], |row| row.get(0)).unwrap()
}

/// Waits until this service has accepted so many.
async fn has_accepted(service: &Double, count: u64) {
    let enough = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while service.report().delivered < count {
            ticks.tick().await;
        }
    };
    in_time("pushes", enough).await;
}

async fn one_is_away(away: impl Fn(&World) -> &Double, queue: &str) {
    let world = World::new().await;
    let server = world.start();
    let mut bob = Client::connect(&server, "bob").await;
    browser(&mut bob, &world.push).await;
    browser(&mut bob, &world.other).await;
    let topic = world.apns.credentials()["topic"].clone();
    let apns = json!({"apns": {"token": "a".repeat(64), "topic": topic}});
    register(&mut bob, apns).await;
    register(&mut bob, json!({"fcm": {"token": "f".repeat(40)}})).await;
    drop(bob);

    let ill = away(&world);
    let wrong = Action::Answer {
        status: 503,
        retry_after: None,
        body: String::new(),
    };
    ill.script(Step::always(wrong));
    for no in 0..ROOMS {
        let mut writer = Client::connect(&server, &format!("writer-{no}")).await;
        let room = direct(&mut writer, "bob").await;
        for _ in 0..3 {
            let send = json!({"send": {"room": room, "cid": cid(), "text": "hello"}});
            writer.ok(send).await;
        }
    }
    let all = [&world.push, &world.other, &world.apns, &world.fcm];
    let well = all.into_iter().filter(|d| d.address() != ill.address());
    for service in well.clone() {
        has_accepted(service, ALL).await;
    }
    let asked = async {
        // Until one has tried whether it is back, in vain.
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let (mut was_open, mut asked) = (false, 0);
        loop {
            ticks.tick().await;
            let queues = queues(&server).await;
            let queue = queues.iter().find(|of| of["name"] == json!(queue)).unwrap();
            let is_open = queue["breakers"][0]["state"] == json!("open");
            let requests = ill.report().requests;
            if is_open && was_open && requests > asked {
                return;
            }
            if is_open && !was_open {
                (was_open, asked) = (true, requests);
            }
        }
    };
    in_time("a second try", asked).await;
    assert_eq!(ill.report().delivered, 0);
    // Those of before it was noticed. Eight would bury them.
    let most = most_receives(&world, queue);
    assert!((1..=3).contains(&most), "{most} receives");

    ill.clear_script();
    has_accepted(ill, ALL).await;
    assert_eq!(emptied(&server).await.iter().sum::<u64>(), 0);
    for service in all {
        let report = service.report();
        assert_eq!(
            (report.delivered, report.duplicates),
            (ALL, 0),
            "{report:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_apple_is_away_all_others_get_theirs_and_its_own_come_later() {
    one_is_away(|world| &world.apns, "push-apns").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_web_push_service_is_away_the_other_one_gets_its_own() {
    one_is_away(|world| &world.other, "push-webpush").await;
}
