//! Everything at once, from a seed: queues that deliver twice and late and fail, crashes, providers of all
//! kinds, people who move and read. Run one again with `KAIWA_SEED=n`.

use super::support::Chance;
use super::support::make::{
    apns, call, call_over, clip, event, event_id, fcm, installation, message_in, user, web,
};
use super::support::provider::{Accepted, Reply, Script};
use super::support::queue::Faults;
use super::support::world::World;
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::core::decision::Verdict;
use kaiwa_notifier::event::What;
use kaiwa_notifier::model::{Address, Channel, DeviceId, Outcome};
use kaiwa_notifier::ports::{Decisions as _, Devices as _, PushState};
use kaiwa_notifier::service::{Notifier, device_id};
use kaiwa_notifier::wire;
use std::collections::BTreeMap;
use std::time::Duration;

const SEEDS: u64 = 200;
const EVENTS: u64 = 30;
const PEOPLE: [&str; 4] = ["bob", "carol", "dave", "erin"];

struct Run {
    world: World,
    chance: Chance,
    notifier: Option<Notifier>,
    crashes: u32,
    /// A token's newest owner, and since when everything to it is theirs.
    owners: BTreeMap<String, (String, UnixMs)>,
    sent: Vec<(u128, Vec<&'static str>)>,
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_without_a_crash() {
    let seeds = match std::env::var("KAIWA_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("a number");
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        println!("KAIWA_SEED={seed}");
        runtime.block_on(async {
            let mut run = Run::new(seed);
            run.go().await;
            run.check().await;
        });
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let faults = if seed.is_multiple_of(3) {
            Faults::default()
        } else {
            Faults {
                doubled: chance.below(15),
                late: chance.below(30),
                failing: chance.below(5),
            }
        };
        let world = World::new(seed, faults);
        for channel in [Channel::WebPush, Channel::Apns, Channel::Fcm] {
            let script = provider(&world, &mut chance);
            world.provider(channel).script(script);
        }
        Self {
            world,
            chance,
            notifier: None,
            crashes: 0,
            owners: BTreeMap::new(),
            sent: Vec::new(),
        }
    }

    async fn go(&mut self) {
        self.notifier = Some(self.world.start(self.chance.any()));
        for (n, name) in PEOPLE.into_iter().enumerate() {
            for device in 0..=self.chance.below(3) {
                let address = match self.chance.below(4) {
                    0 => web(&format!("a/{n}{device}")),
                    1 => web(&format!("b/{n}{device}")),
                    2 => apns(&format!("{n}{device}")),
                    _ => fcm(&format!("{n}{device}")),
                };
                self.register(name, &format!("d{device}"), address).await;
            }
        }
        for n in 0..EVENTS {
            self.publish(n).await;
            let pause = self.chance.upto(Duration::from_secs(20));
            tokio::time::sleep(pause).await;
            match self.chance.below(20) {
                0 => self.crash(),
                1 => self.move_token().await,
                2 => self.read(n),
                _ => {}
            }
        }
        self.world.settle(Duration::from_secs(6 * 3600)).await;
        // What is gathered goes out, and back-offs end.
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(90)).await;
            self.world.settle(Duration::from_secs(3_600)).await;
        }
        assert!(self.world.is_idle(), "everything is done with");
        let notifier = self.notifier.take().expect("it runs");
        notifier.drain(Duration::from_secs(60)).await;
    }

    async fn publish(&mut self, n: u64) {
        let mut to: Vec<_> = PEOPLE
            .into_iter()
            .filter(|_| self.chance.percent(60))
            .collect();
        to.push("zoe");
        let room = format!("r_{}", self.chance.below(3));
        let what: What = match self.chance.below(10) {
            0 => call(&format!("c{n}")),
            1 => call_over(&format!("c{}", n.saturating_sub(1))),
            2 => clip(&format!("k{n}")),
            3 => message_in(&room, n + 1, &to[..1]),
            _ => message_in(&room, n + 1, &[]),
        };
        let event = event(u128::from(n), self.world.now(), &to, what);
        for _ in 0..=u64::from(self.chance.percent(20)) {
            self.world.publish(&event).await;
        }
        self.sent.push((u128::from(n), to));
    }

    async fn register(&mut self, name: &str, phone: &str, address: Address) {
        let token = super::support::provider::token(&address);
        let notifier = self.notifier.as_ref().expect("it runs");
        self.world.register(notifier, name, phone, address).await;
        self.owners
            .insert(token, (name.to_owned(), self.world.now()));
    }

    /// Somebody signs in where another was.
    async fn move_token(&mut self) {
        let from = PEOPLE[self.chance.below(4) as usize];
        let to = PEOPLE[self.chance.below(4) as usize];
        let devices = self
            .world
            .store
            .devices(&user(from))
            .await
            .expect("devices");
        if let Some(device) = devices.first() {
            self.register(to, "moved", device.address.clone()).await;
        }
    }

    fn read(&mut self, n: u64) {
        let name = PEOPLE[self.chance.below(4) as usize].to_owned();
        let room = format!("r_{}", self.chance.below(3));
        self.world.chat.read.lock().unwrap().insert((name, room), n);
    }

    fn crash(&mut self) {
        self.crashes += 1;
        drop(self.notifier.take());
        self.notifier = Some(self.world.start(self.chance.any()));
    }

    async fn check(&self) {
        let accepted: Vec<Accepted> = self
            .world
            .providers
            .values()
            .flat_map(|p| p.accepted())
            .collect();
        self.check_told(&accepted).await;
        self.check_once(&accepted);
        self.check_pruned().await;
        for one in &accepted {
            assert!(
                one.asked < one.push.expires,
                "nothing after its end: {one:?}"
            );
            if let Some((owner, since)) = self.owners.get(&one.token) {
                let is_theirs = one.push.user == user(owner);
                assert!(is_theirs || one.at <= *since, "the former owner's: {one:?}");
            }
        }
        for (channel, queue) in &self.world.queues {
            assert!(
                queue.most_receives() <= 30,
                "{channel:?}: {}",
                queue.most_receives()
            );
        }
    }

    /// Each recipient of each event has a decision, and each push of it an end.
    async fn check_told(&self, accepted: &[Accepted]) {
        let dead = self.dead();
        for (event, to) in &self.sent {
            for name in to {
                let explained = self.world.explain(*event, name).await;
                let Some(explained) = explained else {
                    assert!(
                        dead.contains_key(&(*event, None)),
                        "{event} for {name}: nothing known"
                    );
                    continue;
                };
                let _ = explained.decision.suppressed;
                for device in &explained.decision.devices {
                    if device.verdict != Verdict::Push {
                        continue;
                    }
                    let fate = explained.fates.iter().find(|(id, _)| *id == device.device);
                    let was_taken = |a: &Accepted| {
                        a.push.event == event_id(*event) && a.device == device.device
                    };
                    match fate.map(|(_, fate)| fate) {
                        Some(PushState::Sent { .. }) => {
                            assert!(accepted.iter().any(was_taken), "{event}: a lie");
                        }
                        Some(PushState::Failed { code }) => assert!(!code.is_empty()),
                        Some(PushState::Open { .. } | PushState::Claimed { .. }) | None => {
                            let key = (*event, Some(device.device));
                            assert!(dead.contains_key(&key), "{event} for {name}: {fate:?}");
                        }
                    }
                }
            }
        }
        let waiting = self
            .world
            .store
            .due(UnixMs(i64::MAX), 1_000)
            .await
            .expect("an answer");
        assert!(waiting.is_empty(), "{waiting:?}");
    }

    /// What lies among the dead letters: events, and jobs by device.
    fn dead(&self) -> BTreeMap<(u128, Option<DeviceId>), ()> {
        let mut dead = BTreeMap::new();
        for queue in self.world.dead.values() {
            for letter in queue.messages() {
                if let Ok(job) = wire::decode_job(&letter.body) {
                    for device in job.devices {
                        dead.insert((job.event.id.0.as_u128(), Some(device)), ());
                    }
                } else if let Ok(event) = wire::decode_event(&letter.body) {
                    dead.insert((event.id.0.as_u128(), None), ());
                }
            }
        }
        dead
    }

    /// Whoever's provider says that they are gone is not there any more.
    async fn check_pruned(&self) {
        for (event, to) in &self.sent {
            for name in to {
                let fates = self.world.explain(*event, name).await.map(|e| e.fates);
                for (device, fate) in fates.unwrap_or_default() {
                    let is_gone =
                        matches!(&fate, PushState::Failed { code } if code == "unregistered");
                    // That one may have come back with another address.
                    let is_moved = device == device_id(&user(name), &installation("moved"));
                    let devices = self
                        .world
                        .store
                        .devices(&user(name))
                        .await
                        .expect("devices");
                    let is_there = devices.iter().any(|d| d.id == device);
                    assert!(
                        !(is_gone && is_there) || is_moved,
                        "{event} for {name}: kept"
                    );
                }
            }
        }
    }

    fn check_once(&self, accepted: &[Accepted]) {
        let mut times: BTreeMap<_, Vec<&Accepted>> = BTreeMap::new();
        for one in accepted {
            times
                .entry((one.push.event, one.device))
                .or_default()
                .push(one);
        }
        for (key, times) in times {
            let bound = 1 + self.crashes as usize;
            assert!(
                times.len() <= bound,
                "{key:?}: {} times, {} crashes",
                times.len(),
                self.crashes
            );
            let first = &times[0].push.collapse;
            assert!(times.iter().all(|one| one.push.collapse == *first));
        }
    }
}

/// One of all kinds: well, slow, sometimes ill, away for a while, refusing; with dead tokens.
fn provider(world: &World, chance: &mut Chance) -> Script {
    let begin = world.now().plus(chance.upto(Duration::from_secs(300)));
    let end = begin.plus(chance.upto(Duration::from_secs(900)));
    let (kind, ill) = (chance.below(4), chance.below(15));
    let gone = chance.below(20);
    Box::new(move |target, _, now, chance| {
        let is_out = begin <= now && now < end;
        let code = "scripted".to_owned();
        let retry_after = None;
        let outcome = match kind {
            0 if is_out => Outcome::AuthFailed { code },
            1 if is_out => Outcome::Transient { code, retry_after },
            _ if target.device.0.as_u128() % 20 == u128::from(gone) => {
                Outcome::Unregistered { since: None }
            }
            _ if chance.percent(ill) => match chance.below(4) {
                0 => Outcome::Throttled {
                    retry_after: Some(chance.upto(Duration::from_secs(120))),
                },
                1 => Outcome::Rejected { code },
                2 => {
                    // It never answers.
                    return Reply {
                        before: Duration::from_secs(60),
                        ..Reply::now(Outcome::Transient { code, retry_after })
                    };
                }
                _ => Outcome::Transient { code, retry_after },
            },
            _ => Reply::yes().outcome,
        };
        Reply {
            outcome,
            before: chance.upto(Duration::from_secs(1)),
            after: chance.upto(Duration::from_secs(2)),
        }
    })
}
