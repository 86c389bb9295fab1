//! Every order, loss and repetition of up to eight events ends in the right state.

use crate::make::{job, outputs, transient, word, working};
use crate::world::{Fate, World, arrived};
use kaiwa_media_pipeline::core::step::{Input, Verdict};
use kaiwa_media_pipeline::model::ClipState;
use kaiwa_media_pipeline::ports::Report;
use proptest::prelude::*;

/// What may be delivered, each once, late, twice or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Created,
    Answer(u32),
    Working(u32, u8),
    End(u32),
    Cancel,
}

const RETRIED: [Event; 8] = [
    Event::Created,
    Event::Answer(1),
    Event::Working(1, 40),
    Event::End(1),
    Event::Answer(2),
    Event::Working(2, 10),
    Event::End(2),
    Event::Cancel,
];

const STRAIGHT: [Event; 6] = [
    Event::Created,
    Event::Answer(1),
    Event::Working(1, 10),
    Event::Working(1, 60),
    Event::End(1),
    Event::Cancel,
];

/// What happened to the clip by people's will.
fn deliver(world: &mut World, event: Event) -> bool {
    let input = match event {
        Event::Created => {
            // The object is there from when it is told of, or before: looking finds it.
            world.has_object |= !is_gone(world);
            arrived()
        }
        Event::Answer(attempt) => match world.jobs.get(&attempt) {
            Some(_) => Input::Submitted(attempt, job(attempt)),
            // An answer to a question that was not asked cannot come.
            None => return false,
        },
        Event::Working(attempt, percent) => word(attempt, 1, working(percent)),
        Event::End(1) if world.fate.first_fails => word(1, 2, Report::Failed(transient())),
        Event::End(attempt) => word(attempt, 2, Report::Done(outputs(attempt))),
        Event::Cancel => return world.give(&Input::Cancel) == Verdict::Taken,
    };
    world.give(&input);
    false
}

fn is_gone(world: &World) -> bool {
    world.clip.state == ClipState::Cancelled
}

fn run(fate: Fate, events: &[Event]) {
    let mut world = World::new(fate);
    let mut cancelled = false;
    for event in events {
        cancelled |= deliver(&mut world, *event);
    }
    // The upload was done in any case; only the word of it may have been lost.
    world.has_object |= !is_gone(&world);
    world.settle();
    let clip = &world.clip;
    let expected = if cancelled {
        ClipState::Cancelled
    } else {
        ClipState::Ready
    };
    assert_eq!(clip.state, expected, "{fate:?} {events:?} {clip:#?}");
    assert_eq!(world.submits_after_success, 0, "{events:?}");
    assert!(clip.chores.todo.is_empty(), "{events:?} {clip:#?}");
    assert!(world.jobs.len() <= 2, "{events:?}");
    if cancelled {
        assert!(world.written.is_empty(), "{events:?} leaves outputs");
        assert!(!world.has_object, "{events:?} leaves the source");
        assert_eq!(world.told_ready, 0);
    } else {
        let attempt = if fate.first_fails { 2 } else { 1 };
        assert_eq!(clip.attempt, attempt, "{events:?}");
        assert_eq!(clip.outputs, Some(outputs(attempt)), "{events:?}");
        assert_eq!(world.written.iter().copied().collect::<Vec<_>>(), [attempt]);
        assert_eq!(world.told_ready, 1, "{events:?}");
    }
}

/// Every sequence of distinct events from these, of every length: all orders of all losses.
fn sequences(from: &[Event], taken: &mut Vec<Event>, each: &mut impl FnMut(&[Event])) -> u32 {
    each(taken);
    let mut count = 1;
    for event in from {
        if !taken.contains(event) {
            taken.push(*event);
            count += sequences(from, taken, each);
            taken.pop();
        }
    }
    count
}

const FATES: [Fate; 2] = [
    Fate {
        first_fails: true,
        late_answers: true,
    },
    Fate {
        first_fails: false,
        late_answers: true,
    },
];

#[test]
fn every_order_and_loss_of_a_retried_clips_eight_events_ends_right() {
    let fate = FATES[0];
    let count = sequences(&RETRIED, &mut Vec::new(), &mut |events| run(fate, events));
    assert_eq!(count, 109_601, "Σ 8!/k!");
}

#[test]
fn every_order_and_loss_of_a_straight_clips_events_ends_right() {
    for late_answers in [true, false] {
        let fate = Fate {
            first_fails: false,
            late_answers,
        };
        sequences(&STRAIGHT, &mut Vec::new(), &mut |events| run(fate, events));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn repetitions_change_nothing(
        first_fails in any::<bool>(),
        late_answers in any::<bool>(),
        picks in prop::collection::vec(0_usize..8, 0..17),
    ) {
        let fate = Fate { first_fails, late_answers };
        let events: Vec<Event> = picks.iter().map(|pick| RETRIED[*pick]).collect();
        run(fate, &events);
    }
}
