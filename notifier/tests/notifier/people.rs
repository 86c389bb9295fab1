//! What clients and operators are answered.

use super::support::make::{apns, event, event_id, installation, message, message_in, user, web};
use super::support::provider::Reply;
use super::support::queue::Faults;
use super::support::world::World;
use kaiwa_notifier::core::decision::{Reason, Verdict};
use kaiwa_notifier::core::settings::PersonSettings;
use kaiwa_notifier::model::{Channel, Outcome};
use kaiwa_notifier::service::{BreakerState, BreakerView, Notifier, device_id};
use kaiwa_platform::queue::Queue as _;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn world() -> World {
    World::new(1, Faults::default())
}

#[tokio::test(start_paused = true)]
async fn who_registers_gets_the_device_as_it_is() {
    let world = world();
    let notifier = world.start(1);
    let (bob, phone) = (user("bob"), installation("phone"));
    let register = |token| notifier.register(&bob, &phone, apns(token), "Bob's");
    let first = register("t1").await.expect("registered");
    assert_eq!(first.id, device_id(&bob, &phone));
    assert_eq!((&first.installation, first.last_push), (&phone, None));
    world
        .publish(&event(1, world.now(), &["bob"], message(7, &[])))
        .await;
    world.settle(MINUTE).await;
    let mut settings = first.settings;
    settings.is_enabled = false;
    let set = notifier.set_device(&bob, first.id, settings.clone());
    set.await.expect("set");
    let again = register("t2").await.expect("registered");
    assert_eq!(
        (again.address.clone(), &again.settings),
        (apns("t2"), &settings)
    );
    let accepted = world.provider(Channel::Apns).accepted();
    assert!(again.last_push.is_some_and(|at| at >= accepted[0].at));
    assert_eq!(notifier.devices(&bob).await, Ok(vec![again]));
}

#[tokio::test(start_paused = true)]
async fn settings_have_a_version_that_grows() {
    let notifier = world().start(1);
    let bob = user("bob");
    let before = notifier.settings_version(&bob).await.expect("a version");
    let set = notifier.set_person(&bob, PersonSettings::default());
    set.await.expect("set");
    let after = notifier.settings_version(&bob).await.expect("a version");
    assert!(after > before);
}

#[tokio::test(start_paused = true)]
async fn all_decisions_about_an_event_are_found_up_to_a_bound() {
    let world = world();
    let notifier = world.start(1);
    let phone = world.register(&notifier, "bob", "phone", apns("t")).await;
    let to = ["dave", "alice", "bob", "carol"];
    world
        .publish(&event(1, world.now(), &to, message(7, &[])))
        .await;
    world
        .publish(&event(2, world.now(), &["erin"], message(8, &[])))
        .await;
    world.settle(MINUTE).await;
    let all = notifier.decided(event_id(1), 10).await.expect("decisions");
    let names: Vec<_> = all.iter().map(|(user, _)| user.as_str()).collect();
    assert_eq!(names, ["alice", "bob", "carol", "dave"]);
    assert_eq!(all[0].1.decision.suppressed, Some(Reason::Author));
    assert_eq!(all[1].1.verdict(phone), Some(Verdict::Push));
    assert_eq!(all[1].1.fates.len(), 1);
    assert_eq!(Some(&all[1].1), world.explain(1, "bob").await.as_ref());
    let two = notifier.decided(event_id(1), 2).await.expect("decisions");
    assert_eq!(two, all[..2]);
    assert_eq!(notifier.decided(event_id(3), 10).await, Ok(Vec::new()));
}

/// What is not well, by the channel whose queue has its breakers.
fn open(world: &World, notifier: &Notifier) -> Vec<(Channel, BreakerView)> {
    let all = world.queues.iter();
    let all = all.map(|(channel, queue)| (*channel, notifier.breakers_of(queue.name())));
    all.flat_map(|(channel, views)| views.into_iter().map(move |view| (channel, view)))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn providers_that_are_not_well_are_shown_until_they_are() {
    let world = world();
    let notifier = world.start(1);
    world.register(&notifier, "bob", "phone", apns("t")).await;
    world.register(&notifier, "bob", "one", web("a/1")).await;
    world.register(&notifier, "bob", "two", web("b/2")).await;
    assert_eq!(open(&world, &notifier), []);
    let is_ill = |token: String| !token.contains("://b/");
    let end = world.now().plus(Duration::from_secs(8));
    let outcomes = [
        (
            Channel::Apns,
            Outcome::AuthFailed {
                code: "InvalidProviderToken".to_owned(),
            },
        ),
        (
            Channel::WebPush,
            Outcome::Transient {
                code: "503".to_owned(),
                retry_after: None,
            },
        ),
    ];
    for (channel, ill) in outcomes {
        let provider = world.provider(channel);
        provider.script(Box::new(move |target, _, now, _| {
            let token = super::support::provider::token(&target.address);
            if now < end && is_ill(token) {
                Reply::now(ill.clone())
            } else {
                Reply::yes()
            }
        }));
    }
    for n in 0..5_u64 {
        let what = message_in(&format!("r_{n}"), 1, &[]);
        let one = event(u128::from(n), world.now(), &["bob"], what);
        world.publish(&one).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let now = world.now();
    let shown = open(&world, &notifier);
    let shown: Vec<_> = shown
        .iter()
        .map(|(channel, view)| {
            assert!(view.until.is_some_and(|until| until > now), "{view:?}");
            (
                *channel,
                view.provider.as_str(),
                view.state,
                view.why.as_str(),
            )
        })
        .collect();
    let expected = [
        (Channel::WebPush, "a", BreakerState::Open, "transient: 503"),
        (
            Channel::Apns,
            "",
            BreakerState::Unauthorized,
            "auth_failed: InvalidProviderToken",
        ),
    ];
    assert_eq!(shown, expected);
    assert_eq!(notifier.breakers_of(world.events.name()), []);
    world.settle(10 * MINUTE).await;
    assert_eq!(open(&world, &notifier), []);
}
