//! The services over scripted queues and providers, on paused time.

use super::support::make::{
    apns, call, call_over, event, event_id, fcm, installation, message, message_in, read, room,
    user, web,
};
use super::support::provider::{Reply, token};
use super::support::queue::Faults;
use super::support::world::World;
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::adapters::sqlite::{SCHEMA, SqliteStore};
use kaiwa_notifier::core::decision::{Reason, Verdict};
use kaiwa_notifier::core::quiet::{Minute, QuietHours};
use kaiwa_notifier::core::settings::{DeviceSettings, Mute, RoomSettings};
use kaiwa_notifier::event::{Notice, Severity, What};
use kaiwa_notifier::model::{Channel, Outcome};
use kaiwa_notifier::ports::{Decisions as _, Preferences as _, PushState};
use kaiwa_notifier::service::{NotifierError, device_id};
use kaiwa_notifier::wire::encode_event;
use kaiwa_platform::queue::dead_letters::Pick;
use kaiwa_platform::queue::{Outgoing, Queue as _};
use kaiwa_platform::sqlite::{SqliteOptions, bare_writer};
use rusqlite::params;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn world() -> World {
    World::new(1, Faults::default())
}

fn transient() -> Outcome {
    Outcome::Transient {
        code: "503".to_owned(),
        retry_after: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_goes_once_to_each_device_and_can_be_explained() {
    let world = world();
    let notifier = world.start(1);
    let laptop = world
        .register(&notifier, "bob", "laptop", web("host/1"))
        .await;
    let phone = world.register(&notifier, "bob", "phone", apns("t")).await;
    let event = event(1, world.now(), &["bob", "carol"], message(7, &[]));
    for _ in 0..3 {
        world.publish(&event).await;
    }
    world.settle(MINUTE).await;
    for (channel, device) in [(Channel::WebPush, laptop), (Channel::Apns, phone)] {
        let accepted = world.provider(channel).accepted();
        assert_eq!(accepted.len(), 1);
        let push = &accepted[0].push;
        assert_eq!(
            (accepted[0].device, push.collapse.as_str()),
            (device, "room:r_a")
        );
        let content = push.content.as_ref().expect("content");
        assert_eq!(
            (content.title.0.as_str(), content.body.0.as_str()),
            ("Room", "Alice: Hello")
        );
        assert_eq!(push.badge.map(|badge| badge.count), Some(3));
    }
    let explained = world.explain(1, "bob").await.expect("a decision");
    assert_eq!(explained.verdict(phone), Some(Verdict::Push));
    assert_eq!(
        (explained.room.as_ref(), explained.seq),
        (Some(&room("r_a")), Some(7))
    );
    assert_eq!(explained.fates.len(), 2);
    assert!(
        explained
            .fates
            .iter()
            .all(|(_, f)| matches!(f, PushState::Sent { .. }))
    );
    let carols = world.explain(1, "carol").await.expect("a decision");
    assert_eq!(carols.decision.suppressed, Some(Reason::NoDevice));
}

#[tokio::test(start_paused = true)]
async fn a_failed_device_is_tried_again_without_the_others() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "one", web("a/1")).await;
    let two = world.register(&notifier, "bob", "two", web("b/2")).await;
    let mut failures = 2;
    world
        .provider(Channel::WebPush)
        .script(Box::new(move |target, _, _, _| {
            if target.device == two && failures > 0 {
                failures -= 1;
                return Reply::now(transient());
            }
            Reply::yes()
        }));
    world
        .publish(&event(1, world.now(), &["bob"], message(7, &[])))
        .await;
    world.settle(10 * MINUTE).await;
    let provider = world.provider(Channel::WebPush);
    assert_eq!((provider.accepted().len(), provider.attempts()), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_providers_wish_is_waited_for() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", fcm("t")).await;
    let mut first = true;
    world
        .provider(Channel::Fcm)
        .script(Box::new(move |_, _, _, _| {
            if std::mem::take(&mut first) {
                let retry_after = Some(Duration::from_secs(300));
                return Reply::now(Outcome::Throttled { retry_after });
            }
            Reply::yes()
        }));
    let began = world.now();
    world
        .publish(&event(1, began, &["bob"], message(7, &[])))
        .await;
    world.settle(20 * MINUTE).await;
    let accepted = world.provider(Channel::Fcm).accepted();
    assert!(accepted[0].at >= began.plus(Duration::from_secs(300)));
}

/// The issue's: one provider down for the whole test, others unaffected, receives not burnt.
#[tokio::test(start_paused = true)]
async fn an_outage_burns_no_receives_and_delays_nobody_else() {
    for (channel, outcome) in [
        (Channel::Apns, transient()),
        (
            Channel::Apns,
            Outcome::AuthFailed {
                code: "403".to_owned(),
            },
        ),
        (Channel::WebPush, transient()),
    ] {
        let world = world();
        let notifier = world.start(1);
        let end = world.now().plus(3 * 60 * MINUTE);
        for n in 0..10 {
            let name = format!("p{n}");
            world.register(&notifier, &name, "phone", apns(&name)).await;
            world
                .register(&notifier, &name, "laptop", web(&format!("a/{n}")))
                .await;
            world
                .register(&notifier, &name, "other", web(&format!("b/{n}")))
                .await;
        }
        let down = outcome.clone();
        world
            .provider(channel)
            .script(Box::new(move |target, _, now, _| {
                let is_down = now < end && !token(&target.address).contains("://b/");
                Reply::now(if is_down {
                    down.clone()
                } else {
                    Reply::yes().outcome
                })
            }));
        for n in 0..30_u64 {
            let name = format!("p{}", n % 10);
            let what = message_in(&format!("r_{n}"), n, &[]);
            let one = event(u128::from(n), world.now(), &[&name], what);
            world.publish(&one).await;
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        tokio::time::sleep(MINUTE).await;
        let well = |channel| world.provider(channel).accepted();
        let others = well(Channel::WebPush)
            .iter()
            .filter(|a| a.token.contains("://b/"))
            .count();
        assert_eq!(others, 30, "{channel:?}");
        tokio::time::sleep(2 * 60 * MINUTE).await;
        // Only probes try, and what they need not be told twice waits in hand.
        assert!(
            world.queues[&channel].most_receives() <= 5,
            "{channel:?} {outcome:?}"
        );
        world.settle(3 * 60 * MINUTE).await;
        assert!(world.is_idle());
        assert_eq!(well(Channel::Apns).len(), 30);
        assert_eq!(well(Channel::WebPush).len(), 60);
        assert!(
            world.queues[&channel].most_receives() <= 5,
            "{channel:?} {outcome:?}"
        );
        let dead = world.dead.values().map(|dead| dead.len()).sum::<usize>();
        assert_eq!(dead, 0);
        let told = well(Channel::Slack).len();
        let is_refused = matches!(outcome, Outcome::AuthFailed { .. });
        assert_eq!(
            told > 0,
            is_refused,
            "an operator is told once an interval: {told}"
        );
        assert!(told <= 14, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_moves_never_gets_the_former_owners_push() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", apns("t")).await;
    world
        .provider(Channel::Apns)
        .script(Box::new(|_, _, _, _| Reply {
            before: Duration::from_secs(3),
            ..Reply::yes()
        }));
    world
        .publish(&event(1, world.now(), &["bob"], message(7, &[])))
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // One is on its way, and one has not been looked at.
    world
        .publish(&event(2, world.now(), &["bob"], message(8, &[])))
        .await;
    world.register(&notifier, "carol", "phone", apns("t")).await;
    let moved = world.now();
    world
        .publish(&event(3, world.now(), &["bob", "carol"], message(9, &[])))
        .await;
    world.settle(10 * MINUTE).await;
    let after: Vec<_> = world.provider(Channel::Apns).accepted();
    let after: Vec<_> = after.into_iter().filter(|a| a.at > moved).collect();
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].push.user, user("carol"));
}

/// What is parked is sent anew each time, so that no queue's retention ends it; and the ledger forgets after a week.
#[tokio::test(start_paused = true)]
async fn a_host_that_never_comes_back_is_waited_for_as_long_as_a_queue_keeps_a_message() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "laptop", web("a")).await;
    let gone = world.register(&notifier, "bob", "old", web("gone")).await;
    let provider = world.provider(Channel::WebPush);
    provider.script(Box::new(|target, _, _, _| {
        let is_gone = token(&target.address).contains("gone");
        Reply::now(transient_or_yes(is_gone))
    }));
    let days = |days: i64| UnixMs(world.now().0 - days * 24 * 3_600_000);
    for (number, at) in [(1, days(3)), (2, days(5))] {
        let what = message_in(&format!("r_{number}"), 7, &[]);
        let number = u128::try_from(number).unwrap();
        world.publish(&event(number, at, &["bob"], what)).await;
    }
    tokio::time::sleep(60 * MINUTE).await;
    assert_eq!(provider.accepted().len(), 2, "once each, to the other one");
    let code = async |number| {
        let explained = world.explain(number, "bob").await.unwrap();
        let fate = explained.fates.into_iter().find(|fate| fate.0 == gone);
        fate.unwrap().1
    };
    let open = code(1).await;
    assert!(!matches!(open, PushState::Failed { .. }), "{open:?}");
    let why = "provider_away".to_owned();
    assert_eq!(code(2).await, PushState::Failed { code: why });
    assert_eq!(world.queues[&Channel::WebPush].len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_signs_in_after_somebody_has_signed_out_never_gets_their_push() {
    let world = world();
    let notifier = world.start(1);
    let bobs = world.register(&notifier, "bob", "phone", apns("t")).await;
    let provider = world.provider(Channel::Apns);
    provider.script(Box::new(|_, _, _, _| Reply {
        before: Duration::from_secs(3),
        ..Reply::yes()
    }));
    let told = event(1, world.now(), &["bob"], message(7, &[]));
    world.publish(&told).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(provider.accepted().len(), 0, "it is on its way");
    let removed = notifier.remove_device(&user("bob"), bobs).await;
    assert_eq!(removed, Ok(()));
    world.register(&notifier, "carol", "phone", apns("t")).await;
    let moved = world.now();
    world.settle(MINUTE).await;
    let accepted = provider.accepted();
    assert_eq!(accepted.len(), 1);
    assert!(accepted[0].at <= moved, "after it was hers");
}

#[tokio::test(start_paused = true)]
async fn calls_ring_on_every_device_and_are_over_where_they_rang() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", apns("t")).await;
    world.register(&notifier, "bob", "laptop", web("a/1")).await;
    world
        .publish(&event(1, world.now(), &["bob"], call("c1")))
        .await;
    world.settle(MINUTE).await;
    world.register(&notifier, "bob", "new", fcm("f")).await;
    world
        .publish(&event(2, world.now(), &["bob"], call_over("c1")))
        .await;
    world.settle(MINUTE).await;
    for channel in [Channel::Apns, Channel::WebPush] {
        let accepted = world.provider(channel).accepted();
        assert_eq!(accepted.len(), 2, "{channel:?}");
        assert!(accepted.iter().all(|a| a.push.collapse == "call:c1"));
        assert!(!accepted[0].push.is_silent && accepted[1].push.is_silent);
    }
    assert!(
        world.provider(Channel::Fcm).accepted().is_empty(),
        "it never rang"
    );
    // A ring that comes after its end does not ring.
    world
        .publish(&event(3, world.now(), &["bob"], call_over("c2")))
        .await;
    world.settle(MINUTE).await;
    world
        .publish(&event(4, world.now(), &["bob"], call("c2")))
        .await;
    world.settle(MINUTE).await;
    assert_eq!(world.provider(Channel::Apns).accepted().len(), 2);
    let explained = world.explain(4, "bob").await.expect("a decision");
    let over = |(_, fate): &(_, PushState)| matches!(fate, PushState::Failed { code } if code == "call_over");
    assert!(explained.fates.iter().all(over), "{:?}", explained.fates);
}

#[tokio::test(start_paused = true)]
async fn what_is_read_on_one_device_is_taken_away_where_it_is_shown() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", apns("t")).await;
    world
        .publish(&event(1, world.now(), &["bob"], message(7, &[])))
        .await;
    world.settle(MINUTE).await;
    world
        .publish(&event(2, world.now(), &["bob"], read(6)))
        .await;
    world.settle(MINUTE).await;
    assert_eq!(
        world.provider(Channel::Apns).accepted().len(),
        1,
        "7 is not read"
    );
    world
        .publish(&event(3, world.now(), &["bob"], read(7)))
        .await;
    world
        .publish(&event(4, world.now(), &["bob"], read(7)))
        .await;
    world.settle(MINUTE).await;
    let accepted = world.provider(Channel::Apns).accepted();
    let silent: Vec<_> = accepted.iter().filter(|a| a.push.is_silent).collect();
    assert!((1..=2).contains(&silent.len()));
    assert_eq!(silent[0].push.subject.seq, Some(7));
    world
        .publish(&event(5, world.now(), &["bob"], read(8)))
        .await;
    world.settle(MINUTE).await;
    let explained = world.explain(5, "bob").await.expect("a decision");
    assert_eq!(explained.decision.suppressed, Some(Reason::NothingShown));
}

#[tokio::test(start_paused = true)]
async fn quiet_hours_end_with_one_push_for_what_came_and_nothing_for_what_was_read() {
    let world = world();
    let notifier = world.start(1);
    let phone = world.register(&notifier, "bob", "phone", apns("t")).await;
    let minute = |m| Minute::new(m).unwrap();
    // It is noon.
    let quiet = QuietHours::new(minute(11 * 60), minute(13 * 60), "Etc/UTC").unwrap();
    let settings = DeviceSettings {
        quiet: Some(quiet),
        ..DeviceSettings::default()
    };
    notifier
        .set_device(&user("bob"), phone, settings)
        .await
        .expect("set");
    for seq in 1..=5 {
        let one = event(u128::from(seq), world.now(), &["bob"], message(seq, &[]));
        world.publish(&one).await;
        // Again: it counts once.
        world.publish(&one).await;
        world
            .publish(&event(
                u128::from(seq) + 100,
                world.now(),
                &["bob"],
                message_in("r_b", seq, &[]),
            ))
            .await;
    }
    tokio::time::sleep(59 * MINUTE).await;
    assert!(world.provider(Channel::Apns).accepted().is_empty());
    let key = ("bob".to_owned(), room("r_b").to_string());
    world.chat.read.lock().unwrap().insert(key, 5);
    tokio::time::sleep(3 * MINUTE).await;
    let accepted = world.provider(Channel::Apns).accepted();
    assert_eq!(accepted.len(), 1);
    let content = accepted[0].push.content.as_ref().expect("content");
    assert_eq!(content.body.0, "5 new messages");
    assert_eq!(accepted[0].push.subject.seq, Some(5));
    let explained = world.explain(105, "bob").await.expect("a decision");
    assert_eq!(
        explained.verdict(phone),
        Some(Verdict::Suppressed(Reason::Read))
    );
}

#[tokio::test(start_paused = true)]
async fn why_tells_of_all_devices_also_when_one_of_them_waited() {
    let world = world();
    let notifier = world.start(1);
    let phone = world.register(&notifier, "bob", "phone", apns("t")).await;
    let laptop = world.register(&notifier, "bob", "laptop", web("a")).await;
    let (from, to) = (Minute::new(11 * 60).unwrap(), Minute::new(13 * 60).unwrap());
    let quiet = DeviceSettings {
        quiet: Some(QuietHours::new(from, to, "UTC").unwrap()),
        ..DeviceSettings::default()
    };
    let set = notifier.set_device(&user("bob"), laptop, quiet).await;
    assert_eq!(set, Ok(()));
    let told = event(1, world.now(), &["bob"], message(7, &[]));
    world.publish(&told).await;
    world.settle(MINUTE).await;
    let before = world.explain(1, "bob").await.unwrap();
    assert_eq!(before.verdict(phone), Some(Verdict::Push));
    assert!(matches!(before.verdict(laptop), Some(Verdict::Wait { .. })));
    tokio::time::sleep(70 * MINUTE).await;
    world.settle(MINUTE).await;
    let after = world.explain(1, "bob").await.unwrap();
    for device in [phone, laptop] {
        assert_eq!(after.verdict(device), Some(Verdict::Push), "{after:?}");
    }
    assert_eq!(after.fates.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_busy_rooms_messages_come_as_one_and_mentions_at_once() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", apns("t")).await;
    for seq in 1..=20 {
        let mentions: &[&str] = if seq == 20 { &["bob"] } else { &[] };
        world
            .publish(&event(
                u128::from(seq),
                world.now(),
                &["bob"],
                message(seq, mentions),
            ))
            .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.provider(Channel::Apns).accepted().len(), 4);
    tokio::time::sleep(2 * MINUTE).await;
    let accepted = world.provider(Channel::Apns).accepted();
    assert_eq!(accepted.len(), 5);
    let last = accepted[4].push.content.as_ref().expect("content");
    assert_eq!(last.body.0, "16 new messages");
}

#[tokio::test(start_paused = true)]
async fn what_was_read_while_its_provider_was_away_is_not_sent() {
    let world = world();
    let notifier = world.start(1);
    let phone = world.register(&notifier, "bob", "phone", apns("t")).await;
    let end = world.now().plus(30 * MINUTE);
    world
        .provider(Channel::Apns)
        .script(Box::new(move |_, _, now, _| {
            Reply::now(if now < end {
                transient()
            } else {
                Reply::yes().outcome
            })
        }));
    for seq in 1..=6 {
        let name = format!("r_{seq}");
        let one = event(
            u128::from(seq),
            world.now(),
            &["bob"],
            message_in(&name, seq, &[]),
        );
        world.publish(&one).await;
    }
    tokio::time::sleep(10 * MINUTE).await;
    for seq in 1..=5 {
        let key = ("bob".to_owned(), format!("r_{seq}"));
        world.chat.read.lock().unwrap().insert(key, seq);
    }
    world.settle(90 * MINUTE).await;
    assert_eq!(world.provider(Channel::Apns).accepted().len(), 1);
    let explained = world.explain(2, "bob").await.expect("a decision");
    let read = PushState::Failed {
        code: "read".to_owned(),
    };
    assert_eq!(explained.fates, [(phone, read)]);
}

#[tokio::test(start_paused = true)]
async fn wake_only_devices_get_no_content() {
    let world = world();
    let notifier = world.start(1);
    let phone = world.register(&notifier, "bob", "phone", apns("t")).await;
    world.register(&notifier, "bob", "other", apns("u")).await;
    let settings = DeviceSettings {
        is_wake_only: true,
        ..DeviceSettings::default()
    };
    notifier
        .set_device(&user("bob"), phone, settings)
        .await
        .expect("set");
    world
        .publish(&event(1, world.now(), &["bob"], message(1, &[])))
        .await;
    world.settle(MINUTE).await;
    for one in world.provider(Channel::Apns).accepted() {
        assert_eq!(one.push.content.is_none(), one.device == phone);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_goes_to_the_dead_letters_at_once_with_its_reason() {
    let world = world();
    let notifier = world.start(1);
    use prost::Message as _;
    let newer = kaiwa_proto::notify::v1::Event {
        schema: 2,
        ..Default::default()
    };
    use base64::Engine as _;
    let newer = base64::engine::general_purpose::STANDARD.encode(newer.encode_to_vec());
    for body in ["{\"Type\":\"Notification\"}", "AAAA", &newer] {
        let message = Outgoing {
            body: body.to_owned(),
            ..Outgoing::default()
        };
        world.events.send(vec![message]).await.expect("sent");
    }
    world.settle(MINUTE).await;
    let letters = notifier.dead_letters_of("events").expect("a queue");
    let mut reasons = letters.reasons().await.expect("reasons");
    reasons.sort();
    let reasons: Vec<_> = reasons
        .iter()
        .map(|(reason, n)| (reason.as_str(), *n))
        .collect();
    assert_eq!(reasons, [("envelope", 1), ("payload", 1), ("schema", 1)]);
    let listed = letters.list(&Pick::All, 10).await.expect("letters");
    assert!(
        listed
            .letters
            .iter()
            .all(|letter| letter.component == "router")
    );
    assert_eq!(world.events.most_receives(), 1);
    assert_eq!(
        notifier.dead_letters_of("none").err(),
        Some(NotifierError::NotFound)
    );
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_and_again_is_given_up_and_can_be_redriven() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", apns("t")).await;
    let throttled = || Outcome::Throttled { retry_after: None };
    world
        .provider(Channel::Apns)
        .script(Box::new(move |_, _, _, _| Reply::now(throttled())));
    world
        .publish(&event(1, world.now(), &["bob"], message(1, &[])))
        .await;
    world.settle(120 * MINUTE).await;
    let letters = notifier.dead_letters_of("apns").expect("a queue");
    let reasons = letters.reasons().await.expect("reasons");
    assert_eq!(reasons, [("exhausted".to_owned(), 1)]);
    world
        .provider(Channel::Apns)
        .script(Box::new(|_, _, _, _| Reply::yes()));
    assert_eq!(letters.redrive(&Pick::All, 10).await.done, 1);
    world.settle(MINUTE).await;
    assert_eq!(world.provider(Channel::Apns).accepted().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_what_is_in_hand_be_done_and_nothing_comes_again() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", apns("t")).await;
    world
        .provider(Channel::Apns)
        .script(Box::new(|_, _, _, _| Reply {
            after: Duration::from_secs(4),
            ..Reply::yes()
        }));
    for n in 0..20 {
        let what = message_in(&format!("r_{n}"), 1, &[]);
        world.publish(&event(n, world.now(), &["bob"], what)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let drained = notifier.drain(Duration::from_secs(30)).await;
    assert_eq!(drained.given_back, 0);
    assert!(world.is_idle(), "deletes are flushed");
    assert_eq!(notifier.drain(MINUTE).await.given_back, 0);
    let next = world.start(2);
    tokio::time::sleep(5 * MINUTE).await;
    drop(next);
    assert_eq!(world.provider(Channel::Apns).attempts(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_back_at_once_what_is_not_done_within_the_grace() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", apns("t")).await;
    world
        .provider(Channel::Apns)
        .script(Box::new(|_, _, _, _| Reply {
            before: Duration::from_secs(25),
            ..Reply::yes()
        }));
    world
        .publish(&event(1, world.now(), &["bob"], message(1, &[])))
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let drained = notifier.drain(Duration::from_secs(2)).await;
    assert_eq!(drained.given_back, 1);
    assert_eq!(world.queues[&Channel::Apns].visible(), 1);
}

#[tokio::test(start_paused = true)]
async fn leases_are_extended_for_as_long_as_a_handler_works_and_a_lost_one_stops_it() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", apns("t")).await;
    world.register(&notifier, "carol", "phone", fcm("t")).await;
    // Its provider is away for hours: the message stays in hand.
    let refused = || Outcome::AuthFailed {
        code: "403".to_owned(),
    };
    world
        .provider(Channel::Apns)
        .script(Box::new(move |_, _, _, _| Reply::now(refused())));
    world
        .publish(&event(1, world.now(), &["bob"], message(1, &[])))
        .await;
    tokio::time::sleep(60 * MINUTE).await;
    let queue = &world.queues[&Channel::Apns];
    assert_eq!((queue.receives(), queue.len()), (1, 1));
    queue.steal_all();
    let attempts = world.provider(Channel::Apns).attempts();
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert_eq!(queue.len(), 1, "it is somebody else's");
    tokio::time::sleep(30 * MINUTE).await;
    assert!(queue.receives() >= 2, "and came again");
    assert!(world.provider(Channel::Apns).attempts() > attempts);
}

/// The provider has it, and its yes is on its way when the lease is lost.
#[tokio::test(start_paused = true)]
async fn what_is_being_sent_when_its_lease_is_lost_is_recorded_and_not_sent_again() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", apns("t")).await;
    let provider = world.provider(Channel::Apns);
    provider.script(Box::new(|_, _, _, _| Reply {
        after: Duration::from_secs(20),
        ..Reply::yes()
    }));
    let told = event(1, world.now(), &["bob"], message(1, &[]));
    world.publish(&told).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(provider.accepted().len(), 1);
    world.queues[&Channel::Apns].steal_all();
    world.settle(10 * MINUTE).await;
    assert!(world.is_idle(), "the next one finds it done");
    assert_eq!(provider.accepted().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn operators_are_told_of_the_same_trouble_once_an_interval() {
    let world = world();
    let _notifier = world.start(1);
    for n in 0..10 {
        let what = What::Notice(Notice {
            severity: Severity::Critical,
            key: "disk".to_owned(),
            title: "The disk is full".to_owned(),
            text: "Nothing can be written".to_owned(),
        });
        world.publish(&event(n, world.now(), &[], what)).await;
        tokio::time::sleep(2 * MINUTE).await;
    }
    let accepted = world.provider(Channel::Slack).accepted();
    assert_eq!(accepted.len(), 2);
    let content = accepted[1].push.content.as_ref().expect("content");
    assert!(
        content.body.0.ends_with("(7 more like this)"),
        "{}",
        content.body.0
    );
}

#[tokio::test(start_paused = true)]
async fn settings_have_their_bound_and_others_devices_are_not_found() {
    let world = world();
    let notifier = world.start(1);
    let phone = world.register(&notifier, "bob", "phone", apns("t")).await;
    let alice = user("alice");
    let other = notifier.remove_device(&alice, phone).await;
    assert_eq!(other, Err(NotifierError::NotFound));
    assert_eq!(world.store.rooms(&alice).await.expect("rooms").len(), 0);
    let muted = RoomSettings {
        muted: Mute::Forever,
        level: None,
    };
    for n in 0..kaiwa_common::limits::NOTIFY_ROOM_SETTINGS {
        let of_room = room(&format!("r_{n}"));
        notifier
            .set_room(&alice, &of_room, Some(muted))
            .await
            .expect("set");
    }
    let version = notifier.settings_version(&alice).await;
    let one_more = notifier
        .set_room(&alice, &room("r_more"), Some(muted))
        .await;
    assert_eq!(one_more, Err(NotifierError::TooManyRooms));
    assert_eq!(notifier.settings_version(&alice).await, version);
    notifier
        .set_room(&alice, &room("r_1"), None)
        .await
        .expect("put back");
    notifier
        .set_room(&alice, &room("r_more"), Some(muted))
        .await
        .expect("set");
}

#[tokio::test(start_paused = true)]
async fn who_has_an_endpoint_that_never_answers_holds_up_nobody_else() {
    let world = world();
    let notifier = world.start(1);
    let hole = world
        .register(&notifier, "bob", "hole", web("hole.example/1"))
        .await;
    world
        .register(&notifier, "carol", "laptop", web("push.example/1"))
        .await;
    world
        .provider(Channel::WebPush)
        .script(Box::new(move |target, _, _, _| Reply {
            before: if target.device == hole {
                MINUTE
            } else {
                Duration::ZERO
            },
            ..Reply::now(transient_or_yes(target.device == hole))
        }));
    for number in 1..=200 {
        let mention = message(number, &["bob"]);
        let event = event(number.into(), world.now(), &["bob"], mention);
        world.publish(&event).await;
    }
    let hers = event(1_000, world.now(), &["carol"], message(7, &["carol"]));
    world.publish(&hers).await;
    world.settle(Duration::from_secs(15)).await;
    let accepted = world.provider(Channel::WebPush).accepted();
    assert_eq!(accepted.len(), 1, "hers, while his are waited for");
}

fn transient_or_yes(is_ill: bool) -> Outcome {
    if is_ill {
        transient()
    } else {
        Reply::yes().outcome
    }
}

#[tokio::test(start_paused = true)]
async fn what_waited_and_is_refused_is_not_in_the_way_of_the_rest() {
    let world = world();
    let notifier = world.start(1);
    let phone = world.register(&notifier, "bob", "phone", apns("t")).await;
    let laptop = world
        .register(&notifier, "carol", "laptop", web("push.example/1"))
        .await;
    let (from, to) = (Minute::new(11 * 60).unwrap(), Minute::new(13 * 60).unwrap());
    for (name, device) in [("bob", phone), ("carol", laptop)] {
        let settings = DeviceSettings {
            quiet: Some(QuietHours::new(from, to, "UTC").unwrap()),
            ..DeviceSettings::default()
        };
        let set = notifier.set_device(&user(name), device, settings).await;
        set.expect("set");
    }
    world
        .publish(&event(1, world.now(), &["bob", "carol"], message(7, &[])))
        .await;
    world.settle(MINUTE).await;
    world.queues[&Channel::Apns].refuse();
    tokio::time::sleep(70 * MINUTE).await;
    world.settle(MINUTE).await;
    assert_eq!(world.provider(Channel::WebPush).accepted().len(), 1);
    let left = world.store.due(world.now(), 10).await.expect("an answer");
    assert!(left.is_empty(), "{left:?}");
}

/// A burst of messages over a slow provider is longer than a call rings; the ring has a way of its own.
#[tokio::test(start_paused = true)]
async fn a_ring_passes_a_backlog_of_messages_and_so_does_its_end() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", fcm("bob")).await;
    for n in 0..500 {
        let (name, token) = (format!("u{n}"), format!("t{n}"));
        let address = fcm(&token);
        world.register(&notifier, &name, "phone", address).await;
    }
    world
        .provider(Channel::Fcm)
        .script(Box::new(|_, push, _, _| Reply {
            before: if push.class == kaiwa_notifier::model::Class::Message {
                Duration::from_secs(20)
            } else {
                Duration::ZERO
            },
            ..Reply::yes()
        }));
    for n in 0..500 {
        let name = format!("u{n}");
        let event = event(100 + n, world.now(), &[&name], message(1, &[]));
        world.publish(&event).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let took = |number: u128| {
        let accepted = world.provider(Channel::Fcm).accepted();
        accepted
            .iter()
            .any(|one| one.push.event == event_id(number))
    };
    world
        .publish(&event(1, world.now(), &["bob"], call("c")))
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(took(1), "it rings");
    world
        .publish(&event(2, world.now(), &["bob"], call_over("c")))
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(took(2), "it rings no more");
    assert!(!world.is_idle(), "the messages are still under way");
    world.settle(10 * MINUTE).await;
    assert_eq!(world.provider(Channel::Fcm).accepted().len(), 502);
}

#[tokio::test(start_paused = true)]
async fn a_mention_stays_on_the_screen_when_messages_follow_and_goes_when_it_is_read() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", fcm("t")).await;
    let publish = async |number: u128, what| {
        let event = event(number, world.now(), &["bob"], what);
        world.publish(&event).await;
        world.settle(MINUTE).await;
    };
    publish(1, message(1, &["bob"])).await;
    for seq in 2..9 {
        publish(u128::from(seq), message(seq, &[])).await;
    }
    tokio::time::sleep(2 * MINUTE).await;
    world.settle(MINUTE).await;
    let keys = || -> Vec<(u128, String)> {
        let accepted = world.provider(Channel::Fcm).accepted();
        let key = |one: &super::support::provider::Accepted| {
            (one.push.event.0.as_u128(), one.push.collapse.clone())
        };
        accepted.iter().map(key).collect()
    };
    let (mention, rest) = (keys()[0].clone(), keys()[1..].to_vec());
    assert_eq!(mention, (1, "mention:r_a".to_owned()));
    assert!(!rest.is_empty() && rest.iter().all(|(_, key)| key == "room:r_a"));
    publish(20, read(8)).await;
    let last = keys().last().cloned();
    assert_eq!(last, Some((20, "read:r_a".to_owned())));
}

/// Whoever registers devices at fresh hosts that never answer holds up those who do the same, and nobody else.
#[tokio::test(start_paused = true)]
async fn hosts_that_never_answer_leave_places_to_those_that_do() {
    let world = world();
    let notifier = world.start(1);
    world
        .register(&notifier, "bob", "laptop", web("known/1"))
        .await;
    world
        .provider(Channel::WebPush)
        .script(Box::new(|target, _, _, _| {
            if super::support::provider::token(&target.address).contains("://known/") {
                return Reply::yes();
            }
            Reply {
                before: Duration::from_secs(20),
                ..Reply::now(transient())
            }
        }));
    let to_bob = |number: u128| event(number, world.now(), &["bob"], message_in("r_b", 1, &[]));
    world.publish(&to_bob(1)).await;
    world.settle(MINUTE).await;
    for n in 0..20 {
        let name = format!("u{n}");
        for host in 0..4 {
            let address = web(&format!("silent-{n}-{host}/1"));
            world
                .register(&notifier, &name, &format!("p{host}"), address)
                .await;
        }
    }
    for n in 0..100 {
        let name = format!("u{}", n % 20);
        let what = message_in(&format!("r_{n}"), 1, &[]);
        world
            .publish(&event(100 + n, world.now(), &[&name], what))
            .await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.publish(&to_bob(2)).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(world.provider(Channel::WebPush).accepted().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_somebody_who_cannot_be_read_does_not_stop_the_others() {
    let mut world = world();
    let options = SqliteOptions::new(":memory:".into());
    let connection = bare_writer(&options, SCHEMA.migrations).expect("a database");
    let until = world.now().plus(MINUTE);
    for (number, name) in [(1, "bob"), (2, "carol")] {
        let phone = device_id(&user(name), &installation("phone"));
        let waits = event(number, world.now(), &[name], message(7, &[]));
        let insert = "INSERT INTO notify_held VALUES (?1, ?2, 'room:r_a', ?3, 7, ?4, 1)";
        let row = params![name, phone.0.as_bytes(), until.0, encode_event(&waits)];
        connection.execute(insert, row).expect("a row");
    }
    // No count is less than nothing.
    let broken = "INSERT INTO notify_recent VALUES ('bob', 'r_a', ?1, -1)";
    connection.execute(broken, [until.0]).expect("a row");
    world.store = SqliteStore::inline(connection);
    let notifier = world.start(1);
    for name in ["bob", "carol"] {
        world.register(&notifier, name, "phone", apns(name)).await;
    }
    tokio::time::sleep(2 * MINUTE).await;
    let accepted = world.provider(Channel::Apns).accepted();
    assert_eq!(accepted.len(), 1, "carol's");
    let later = world.now().plus(MINUTE);
    assert_eq!(world.store.due(later, 9).await, Ok(Vec::new()));
}
