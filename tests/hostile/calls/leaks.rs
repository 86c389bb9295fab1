//! A thousand people's worth of coming and going.

use super::client::Line;
use super::person::Person;
use super::with_media;
use crate::support::client::Client;
use crate::support::http::request;
use crate::support::scene::Scene;
use crate::support::server::own;
use crate::support::{PATIENCE, soon};
use kaiwa_sfu::control::Source;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// People, and how often each of them comes and goes after the first time, which warms up.
const PEOPLE: usize = 40;
const TIMES: usize = 25;

/// Memory that may be more afterwards than after the first forty: a thousand joins that leave 4 KiB each
/// would be at it. An allocator gives pages back late, so that some of it is noise.
const GROWTH: u64 = 4 * 1024 * 1024;

/// Series that tell how much there is.
const LEVELS: [&str; 4] = [
    "kaiwa_sfu_participants",
    "kaiwa_sfu_rooms",
    "kaiwa_calls",
    "kaiwa_call_participants",
];

/// Comes, connects, is heard by the server, and goes: by leaving, by a goodbye of the transport, or by
/// joining again, which is the same part.
async fn comes_and_goes(mut session: Client, room: String, no: usize, times: usize) -> Client {
    for time in 0..times {
        let lines = vec![Line::send(Source::Microphone, 7), Line::receive("audio")];
        let mut person = Person::join(session, &room, lines).await;
        for packet in 0..5 {
            person.say(packet, &[1; 80]);
        }
        match (no + time) % 3 {
            0 => {
                person.media.hang_up();
                person.session.push("callEnded").await;
            }
            1 => {
                let again = json!({"callJoin": {"room": room}});
                let joined = person.session.ok(again).await;
                assert_eq!(joined["participant"], json!(person.participant));
                person
                    .session
                    .ok(json!({"callLeave": {"room": room}}))
                    .await;
            }
            _ => {
                person
                    .session
                    .ok(json!({"callLeave": {"room": room}}))
                    .await;
            }
        }
        session = person.session;
    }
    session
}

async fn levels(address: SocketAddr) -> BTreeMap<String, f64> {
    let metrics = request(address, "GET /metrics", &[], "").await.body;
    let mut levels = BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let name = name.split('{').next().expect("a name");
        if LEVELS.contains(&name) {
            *levels.entry(name.to_owned()).or_default() += value.parse::<f64>().expect("a number");
        }
    }
    levels
}

/// Waits until nobody is in a call.
async fn all_are_gone(address: SocketAddr) {
    let gone = async {
        loop {
            let levels = levels(address).await;
            assert_eq!(levels.len(), LEVELS.len(), "{levels:?}");
            if levels.values().all(|level| *level == 0.0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("everybody's end", gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_thousand_joins_and_leaves_with_media_nothing_is_left() {
    // Sessions keep little of what they were pushed, so that it does not look like a leak of calls.
    let few_frames = |spec| with_media(spec).with("KAIWA_LIMITS__RESUME_FRAMES", 4);
    let scene = Scene::on(own(few_frames)).await;
    let address = scene.server.address;
    let mut sessions = Vec::new();
    for no in 0..PEOPLE {
        sessions.push(scene.member(&format!("person{no}")).await);
    }
    let mut before = None;
    for times in [1, TIMES] {
        let tasks: Vec<_> = sessions
            .drain(..)
            .enumerate()
            .map(|(no, session)| {
                let room = scene.room.clone();
                tokio::spawn(comes_and_goes(session, room, no, times))
            })
            .collect();
        for task in tasks {
            let ended = tokio::time::timeout(PATIENCE * 8, task).await;
            sessions.push(ended.expect("in time").expect("no panic"));
        }
        all_are_gone(address).await;
        let now = (
            scene.server.rss_anon(),
            scene.server.threads(),
            scene.server.descriptors(),
        );
        let Some((memory, threads, descriptors)) = before else {
            before = Some(now);
            continue;
        };
        let grown = now.0.saturating_sub(memory);
        println!("{} joins: {} KiB more", PEOPLE * TIMES, grown / 1024);
        assert!(grown < GROWTH, "{grown} bytes more");
        // Threads of the runtime's blocking pool end by themselves when there is nothing to do.
        assert!(now.1 <= threads + 2, "{} threads were {threads}", now.1);
        // A connection of the metrics' reader may be closing.
        assert!(now.2 <= descriptors + 2, "{} were {descriptors}", now.2);
    }
}
