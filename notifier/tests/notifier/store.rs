//! What the store promises.

use super::support::make::{NOON, apns, event_id, installation, room, user, web};
use super::support::queue::Faults;
use super::support::world::World;
use kaiwa_common::limits::NOTIFY_DEVICES;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::adapters::sqlite::SqliteStore;
use kaiwa_notifier::core::quiet::{Lets, Minute, QuietHours};
use kaiwa_notifier::core::settings::{
    DeviceSettings, Level, Mute, PersonChange, PersonSettings, RoomSettings,
};
use kaiwa_notifier::core::tokens::Fate;
use kaiwa_notifier::model::{Address, Channel, DeviceId};
use kaiwa_notifier::ports::{
    Claim, Claimed, Devices as _, Ledger as _, Preferences as _, PushState, Registered,
    Registration, Settled, Shown,
};
use kaiwa_notifier::service::device_id;
use kaiwa_platform::sqlite::{Sqlite, SqliteOptions};

fn store() -> SqliteStore {
    World::new(0, Faults::default()).store
}

fn registration(name: &str, phone: &str, address: Address, at: i64) -> Registration {
    Registration {
        user: user(name),
        device: device_id(&user(name), &installation(phone)),
        installation: installation(phone),
        address,
        label: Redacted(phone.to_owned()),
        at: UnixMs(at),
    }
}

fn claim(name: &str, device: DeviceId, channel: Channel, now: i64) -> Claim {
    Claim {
        event: event_id(1),
        user: Some(user(name)),
        channel,
        devices: vec![device],
        shows: Some(Shown {
            key: "room:r_a".to_owned(),
            up_to: 7,
        }),
        now: UnixMs(now),
        until: UnixMs(now + 60_000),
    }
}

fn settled(device: DeviceId, state: PushState, fate: Option<(Fate, UnixMs)>) -> Settled {
    Settled {
        event: event_id(1),
        device,
        state,
        fate,
        took_away: None,
        at: UnixMs(0),
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_is_one_persons_and_moves_with_who_registers_it() {
    let store = store();
    let alices = registration("alice", "laptop", web("host/1"), 1);
    store.register(alices.clone()).await.unwrap();
    let claimed = store
        .claim(claim("alice", alices.device, Channel::WebPush, 0))
        .await
        .unwrap();
    assert!(matches!(claimed[..], [Claimed::Yes(Some(_))]));
    let bobs = registration("bob", "laptop", web("host/1"), 2);
    let moved = store.register(bobs.clone()).await.unwrap();
    assert_eq!(moved.moved_from, Some(alices.device));
    // What was on its way is known, and nothing new can be claimed.
    let way = store.in_flight(alices.device, UnixMs(1)).await.unwrap();
    assert_eq!(way, Some(UnixMs(60_000)));
    assert_eq!(
        store
            .in_flight(alices.device, UnixMs(60_000))
            .await
            .unwrap(),
        None
    );
    let mut other = claim("alice", alices.device, Channel::WebPush, 0);
    other.event = event_id(2);
    assert_eq!(store.claim(other).await.unwrap(), [Claimed::Gone]);
    let of_bobs = claim("alice", bobs.device, Channel::WebPush, 0);
    assert_eq!(store.claim(of_bobs).await.unwrap(), [Claimed::Gone]);
    assert!(store.devices(&user("alice")).await.unwrap().is_empty());
    assert_eq!(store.devices(&user("bob")).await.unwrap().len(), 1);
    assert!(!store.remove(&user("alice"), bobs.device).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_before_the_clock_was_set_back_is_nobodys() {
    const DAY: i64 = 24 * 3_600_000;
    let store = store();
    let laptop = registration("alice", "laptop", web("host/1"), 1);
    store.register(laptop.clone()).await.unwrap();
    let again = |now| claim("alice", laptop.device, Channel::WebPush, now);
    let first = store.claim(again(DAY)).await.unwrap();
    assert!(matches!(first[..], [Claimed::Yes(_)]));
    let busy = store.claim(again(DAY - 10_000)).await.unwrap();
    assert_eq!(
        busy,
        [Claimed::Busy(UnixMs(DAY + 60_000))],
        "a bit is no jump"
    );
    let way = store.in_flight(laptop.device, UnixMs(0)).await.unwrap();
    assert_eq!(way, None, "who registers does not wait for a day");
    let second = store.claim(again(0)).await.unwrap();
    assert!(matches!(second[..], [Claimed::Yes(_)]), "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_registers_again_keeps_its_settings_and_loses_its_strikes() {
    let store = store();
    let first = registration("alice", "phone", apns("t1"), 1);
    store.register(first.clone()).await.unwrap();
    let minute = |m| Minute::new(m).unwrap();
    let settings = DeviceSettings {
        is_enabled: true,
        is_wake_only: true,
        quiet: Some(
            QuietHours::new(minute(1320), minute(420), "Asia/Tokyo")
                .unwrap()
                .letting(Lets {
                    calls: false,
                    mentions: true,
                }),
        ),
    };
    let alice = user("alice");
    assert!(
        store
            .set_device(&alice, first.device, settings.clone())
            .await
            .unwrap()
    );
    assert!(
        !store
            .set_device(&user("bob"), first.device, settings.clone())
            .await
            .unwrap()
    );
    let failed = PushState::Failed {
        code: "bad_token".to_owned(),
    };
    let quarantine = Some((Fate::Quarantine(UnixMs(99)), UnixMs(1)));
    store
        .settle(vec![settled(first.device, failed, quarantine)])
        .await
        .unwrap();
    let device = store.devices(&alice).await.unwrap().remove(0);
    assert_eq!((device.strikes, device.quarantined), (1, Some(UnixMs(99))));
    assert_eq!(
        store
            .register(registration("alice", "phone", apns("t2"), 2))
            .await
            .unwrap(),
        Registered::default()
    );
    let device = store.devices(&alice).await.unwrap().remove(0);
    assert_eq!((device.strikes, device.quarantined), (0, None));
    assert_eq!((device.settings, device.address), (settings, apns("t2")));
    assert_eq!(device.installation, installation("phone"));
}

#[tokio::test(start_paused = true)]
async fn a_removal_does_not_touch_an_address_that_was_registered_since() {
    let store = store();
    let first = registration("alice", "phone", apns("t1"), 1);
    store.register(first.clone()).await.unwrap();
    store
        .register(registration("alice", "phone", apns("t2"), 5))
        .await
        .unwrap();
    let gone = |at| {
        let code = "unregistered".to_owned();
        settled(
            first.device,
            PushState::Failed { code },
            Some((Fate::Prune, UnixMs(at))),
        )
    };
    store.settle(vec![gone(1)]).await.unwrap();
    assert_eq!(store.devices(&user("alice")).await.unwrap().len(), 1);
    store.settle(vec![gone(5)]).await.unwrap();
    assert!(store.devices(&user("alice")).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn devices_of_a_person_are_bounded_and_the_oldest_makes_room() {
    let store = store();
    for n in 0..NOTIFY_DEVICES {
        let name = format!("p{n}");
        store
            .register(registration("alice", &name, apns(&name), n as i64))
            .await
            .unwrap();
    }
    let again = registration("alice", "p0", apns("p0"), 100);
    assert_eq!(store.register(again).await.unwrap(), Registered::default());
    let one_more = store
        .register(registration("alice", "new", apns("new"), 101))
        .await
        .unwrap();
    let oldest = device_id(&user("alice"), &installation("p1"));
    assert_eq!(one_more.evicted, Some(oldest));
    assert_eq!(
        store.devices(&user("alice")).await.unwrap().len(),
        NOTIFY_DEVICES
    );
}

#[tokio::test(start_paused = true)]
async fn a_push_is_claimed_by_one_until_its_time_is_up_and_sent_stays_sent() {
    let store = store();
    let phone = registration("alice", "phone", apns("t"), 1);
    store.register(phone.clone()).await.unwrap();
    let try_at = |now| store.claim(claim("alice", phone.device, Channel::Apns, now));
    assert!(matches!(try_at(0).await.unwrap()[..], [Claimed::Yes(_)]));
    assert_eq!(
        try_at(59_999).await.unwrap(),
        [Claimed::Busy(UnixMs(60_000))]
    );
    assert!(matches!(
        try_at(60_000).await.unwrap()[..],
        [Claimed::Yes(_)]
    ));
    let sent = PushState::Sent {
        provider_id: "x".to_owned(),
    };
    store
        .settle(vec![settled(phone.device, sent, None)])
        .await
        .unwrap();
    let late = PushState::Open {
        code: "timeout".to_owned(),
    };
    store
        .settle(vec![settled(phone.device, late, None)])
        .await
        .unwrap();
    assert_eq!(try_at(999_999).await.unwrap(), [Claimed::Done]);
}

#[tokio::test(start_paused = true)]
async fn a_device_knows_when_a_push_was_last_taken_for_it() {
    let store = store();
    let phone = registration("alice", "phone", apns("t"), 1);
    store.register(phone.clone()).await.unwrap();
    let last = async || {
        let devices = store.devices(&user("alice")).await.unwrap();
        devices[0].last_push
    };
    let settle = |event, state, at| {
        let settled = Settled {
            event: event_id(event),
            at: UnixMs(at),
            ..settled(phone.device, state, None)
        };
        store.settle(vec![settled])
    };
    let open = PushState::Open {
        code: "timeout".to_owned(),
    };
    let sent = PushState::Sent {
        provider_id: String::new(),
    };
    settle(1, open, 10).await.unwrap();
    assert_eq!(last().await, None);
    settle(1, sent.clone(), 20).await.unwrap();
    assert_eq!(last().await, Some(UnixMs(20)));
    // Another one's record was late.
    settle(2, sent, 15).await.unwrap();
    store
        .register(registration("alice", "phone", apns("t2"), 30))
        .await
        .unwrap();
    assert_eq!(last().await, Some(UnixMs(20)));
}

#[tokio::test(start_paused = true)]
async fn each_change_of_settings_makes_their_version_greater() {
    let store = store();
    let (alice, hall) = (user("alice"), room("r_hall"));
    let version = async |name| store.settings_version(&user(name)).await.unwrap();
    let mut versions = vec![version("alice").await];
    store
        .set_person(&alice, PersonSettings::default())
        .await
        .unwrap();
    versions.push(version("alice").await);
    let nothing = RoomSettings {
        level: Some(Level::Nothing),
        ..RoomSettings::default()
    };
    for settings in [Some(nothing), Some(RoomSettings::default()), None] {
        assert!(store.set_room(&alice, &hall, settings).await.unwrap());
        let rooms = store.rooms(&alice).await.unwrap();
        assert_eq!(rooms.is_empty(), settings != Some(nothing));
        versions.push(version("alice").await);
    }
    store
        .set_person(&alice, PersonSettings::default())
        .await
        .unwrap();
    versions.push(version("alice").await);
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    assert_eq!((versions[0], version("bob").await), (0, 0));
}

#[tokio::test]
async fn changes_at_once_of_different_settings_all_hold() {
    let store = store();
    let alice = user("alice");
    let mute = PersonChange {
        muted: Some(Mute::Forever),
        ..PersonChange::default()
    };
    let level = PersonChange {
        level: Some(Level::Mentions),
        ..PersonChange::default()
    };
    let calls = PersonChange {
        calls_override: Some(true),
        ..PersonChange::default()
    };
    let (mute, level, calls) = tokio::join!(
        store.change_person(&alice, mute),
        store.change_person(&alice, level),
        store.change_person(&alice, calls),
    );
    mute.and(level).and(calls).unwrap();
    let expected = PersonSettings {
        muted: Mute::Forever,
        level: Level::Mentions,
        calls_override: true,
        ..PersonSettings::default()
    };
    assert_eq!(store.person(&alice).await.unwrap(), expected);
}

#[tokio::test]
async fn settings_are_found_again_in_the_shared_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kaiwa.db");
    let (alice, hall) = (user("alice"), room("r_hall"));
    let person = PersonSettings {
        muted: Mute::Until(NOON),
        level: Level::Mentions,
        mentions_override: false,
        calls_override: true,
        is_wake_only: true,
        has_badge: false,
    };
    let of_room = RoomSettings {
        muted: Mute::Forever,
        level: Some(Level::All),
    };
    let yard = room("r_yard");
    let of_yard = RoomSettings {
        muted: Mute::Until(NOON),
        level: None,
    };
    for is_second in [false, true] {
        let sqlite = Sqlite::open(SqliteOptions::new(path.clone()), &[]).unwrap();
        let store = SqliteStore::open(sqlite.clone()).await.unwrap();
        if !is_second {
            assert_eq!(
                store.person(&alice).await.unwrap(),
                PersonSettings::default()
            );
            store.set_person(&alice, person).await.unwrap();
            assert!(store.set_room(&alice, &hall, Some(of_room)).await.unwrap());
            assert!(store.set_room(&alice, &yard, Some(of_yard)).await.unwrap());
        }
        assert_eq!(store.person(&alice).await.unwrap(), person);
        assert_eq!(
            store.rooms(&alice).await.unwrap(),
            [(hall.clone(), of_room), (yard.clone(), of_yard)]
        );
        assert!(store.opted_in(&yard, None, 10).await.unwrap().is_empty());
        assert_eq!(
            store.opted_in(&hall, None, 10).await.unwrap(),
            std::slice::from_ref(&alice)
        );
        let after = store.opted_in(&hall, Some(&alice), 10).await.unwrap();
        assert!(after.is_empty());
        drop(store);
        sqlite.writer.close();
    }
}
