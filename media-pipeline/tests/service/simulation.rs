//! Seeded: whatever is dropped, doubled, reordered, stuck, throttled or killed, every clip ends, and nothing is
//! transcoded again after success.

use crate::transcoder::{FILES, Faults};
use crate::world::{World, who};
use kaiwa_media_pipeline::api::Clips as _;
use kaiwa_media_pipeline::core::mark::is_over;
use kaiwa_media_pipeline::model::{ClipId, ClipState};
use kaiwa_media_pipeline::ports::JobEvent;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

async fn deliver(world: &World, held: &mut Vec<JobEvent>, chance: &mut Chance) {
    held.extend(world.transcoder.events());
    for _ in 0..held.len() {
        let at = usize::try_from(chance.below(held.len() as u64)).unwrap();
        match chance.below(10) {
            0..=2 => drop(held.swap_remove(at)),
            3..=4 => {
                let event = held[at].clone();
                world.service.job_event(event).await.unwrap();
            }
            5..=7 => {
                let event = held.swap_remove(at);
                world.service.job_event(event).await.unwrap();
            }
            _ => {}
        }
        if held.is_empty() {
            return;
        }
    }
}

async fn run(seed: u64) -> BTreeMap<ClipState, u32> {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut world = World::new(seed);
    let mut clips: Vec<ClipId> = Vec::new();
    for _ in 0..4 {
        let id = world.uploaded().await;
        clips.push(id);
        // A completion, or the word of the store, or neither: then the object is found by looking.
        match chance.below(3) {
            0 => drop(world.complete(id).await),
            1 => {
                world.complete(id).await.unwrap();
                let key = kaiwa_media_pipeline::core::names::source(&world.clip(id).await);
                let event = format!("o{id}");
                world.service.object_created(&event, &key).await.unwrap();
            }
            _ => {
                let clip = world.clip(id).await;
                let key = kaiwa_media_pipeline::core::names::source(&clip);
                world.objects.store(&key, crate::world::SIZE, clip.created);
            }
        }
    }
    *world.transcoder.faults.lock().unwrap() = Faults {
        throttled: 20,
        answer_lost: 20,
        stuck: 10,
        fails: 15,
        half_written: 10,
        forgotten: 5,
        unnamed: 5,
    };
    let mut held = Vec::new();
    let mut rounds = 0;
    loop {
        rounds += 1;
        assert!(rounds < 3_000, "seed {seed}: it does not end");
        world
            .objects
            .failing
            .store(u32::try_from(chance.below(3)).unwrap(), Ordering::Relaxed);
        *world.chat.failing.lock().unwrap() = u32::try_from(chance.below(3)).unwrap();
        deliver(&world, &mut held, &mut chance).await;
        if chance.below(20) == 0 {
            world.restart();
        }
        world.service.tick().await;
        world.service.idle().await;
        if rounds == 40 && seed.is_multiple_of(2) {
            let _ = world.service.cancel(&who("alice"), clips[0]).await;
        }
        let mut over = 0;
        let mut next = None;
        for id in &clips {
            let clip = world.clip(*id).await;
            over += u32::from(is_over(clip.state) && clip.chores.todo.is_empty());
            if clip.state == ClipState::Ready {
                world.transcoder.succeeded(*id);
            }
            next = [next, clip.due].into_iter().flatten().min();
        }
        if over == 4 {
            break;
        }
        let now = kaiwa_platform::clock::Clock::now(&world.clock);
        let wait = next.map_or(Duration::ZERO, |next| next.since(now));
        world
            .clock
            .advance(wait + Duration::from_millis(chance.below(2_000)));
    }
    // Stragglers come after the end, and change nothing.
    for event in held {
        world.service.job_event(event).await.unwrap();
    }
    world.objects.failing.store(0, Ordering::Relaxed);
    *world.chat.failing.lock().unwrap() = 0;
    let mut ends = BTreeMap::new();
    for id in clips {
        let clip = world.settle(id).await;
        *ends.entry(clip.state).or_default() += 1;
        let shown = world.chat.shown(id, "r_1");
        assert_eq!(shown, Some(Some(clip.state)), "seed {seed}");
        if clip.state == ClipState::Ready {
            assert!(world.chat.ready.lock().unwrap()[&id] >= 1);
            let below = kaiwa_media_pipeline::core::names::attempt(&clip, clip.attempt);
            let keys = world.objects.keys();
            for file in FILES {
                assert!(
                    keys.contains(&format!("{below}{file}")),
                    "seed {seed}: {file}"
                );
            }
        }
    }
    assert_eq!(world.transcoder.submits_after_success(), 0, "seed {seed}");
    ends
}

#[tokio::test]
async fn every_clip_ends_whatever_goes_wrong() {
    let mut ends: BTreeMap<ClipState, u32> = BTreeMap::new();
    for seed in 1..=150 {
        for (state, count) in run(seed).await {
            assert!(is_over(state));
            *ends.entry(state).or_default() += count;
        }
    }
    println!("{ends:?}");
    // The faults are such that each end is seen, and most clips can be played in spite of them.
    assert!(ends[&ClipState::Ready] > 300, "{ends:?}");
    assert!(ends.contains_key(&ClipState::Failed), "{ends:?}");
    assert!(ends.contains_key(&ClipState::Cancelled), "{ends:?}");
}
