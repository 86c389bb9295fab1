use super::*;
use proptest::prelude::*;

const ALL: Rights = Rights {
    microphone: true,
    camera: true,
    screen: true,
    subscribe: true,
};

fn room() -> Room {
    Room::new(RoomId::parse("r_1").expect("an id"), 3)
}

fn mid(no: usize) -> Mid {
    Mid::parse(no.to_string().as_bytes()).expect("a mid")
}

fn track(id: u64, participant: u64, source: Source) -> Publication {
    Publication {
        id: PublicationId(id),
        participant: ParticipantId(participant),
        source,
        is_muted: false,
        layers: 1,
    }
}

fn lines(audio: usize, video: usize) -> Vec<(Mid, MediaKind)> {
    let kinds = std::iter::repeat_n(MediaKind::Audio, audio)
        .chain(std::iter::repeat_n(MediaKind::Video, video));
    kinds
        .enumerate()
        .map(|(no, kind)| (mid(no), kind))
        .collect()
}

fn wish(id: u64) -> Wish {
    Wish {
        publication: PublicationId(id),
        width: 320,
        height: 180,
        is_paused: false,
    }
}

fn assigned(effects: &[Effect]) -> Vec<(u64, String, Option<u64>)> {
    let only = effects.iter().filter_map(|effect| match effect {
        Effect::Assign(a) => Some((
            a.participant.0,
            a.mid.to_string(),
            a.publication.map(|p| p.0),
        )),
        Effect::Tell(_) | Effect::Gate(..) => None,
    });
    only.collect()
}

#[test]
fn a_sound_goes_to_everybody_else_and_a_picture_to_who_wants_it() {
    let mut room = room();
    for id in [1, 2] {
        room.handle_join(ParticipantId(id), ALL).expect("room");
        room.handle_slots(ParticipantId(id), &lines(1, 1));
    }
    room.take_effects();
    room.handle_publish(track(10, 1, Source::Microphone))
        .expect("allowed");
    room.handle_publish(track(11, 1, Source::Camera))
        .expect("allowed");
    assert_eq!(assigned(&room.take_effects()), [(2, "0".into(), Some(10))]);
    room.handle_prefer(ParticipantId(2), &[wish(11)], Hears::Everybody);
    assert_eq!(assigned(&room.take_effects()), [(2, "1".into(), Some(11))]);
    room.handle_leave(ParticipantId(1));
    let gone = assigned(&room.take_effects());
    assert_eq!(gone, [(2, "0".into(), None), (2, "1".into(), None)]);
}

#[test]
fn who_hears_named_sounds_hears_nobody_else() {
    let mut room = room();
    for id in [1, 2, 3] {
        room.handle_join(ParticipantId(id), ALL).expect("room");
    }
    room.handle_slots(ParticipantId(3), &lines(2, 0));
    room.handle_prefer(ParticipantId(3), &[wish(10)], Hears::Named);
    for (id, owner) in [(10, 1), (20, 2)] {
        room.handle_publish(track(id, owner, Source::Microphone))
            .expect("allowed");
    }
    assert_eq!(assigned(&room.take_effects()), [(3, "0".into(), Some(10))]);
    room.handle_prefer(ParticipantId(3), &[], Hears::Named);
    assert_eq!(assigned(&room.take_effects()), [(3, "0".into(), None)]);
    room.handle_prefer(ParticipantId(3), &[], Hears::Everybody);
    assert_eq!(assigned(&room.take_effects()).len(), 2);
}

#[test]
fn what_has_a_slot_keeps_it_while_others_come_and_go() {
    let mut room = room();
    room.handle_join(ParticipantId(1), ALL).expect("room");
    room.handle_join(ParticipantId(2), ALL).expect("room");
    for id in 10..13 {
        room.handle_publish(track(id, 1, Source::Camera))
            .expect("allowed");
    }
    room.handle_slots(ParticipantId(2), &lines(0, 2));
    room.handle_prefer(ParticipantId(2), &[wish(10), wish(11)], Hears::Everybody);
    room.take_effects();
    // 11 stays in its slot although it is first now; 12 takes the place of 10.
    room.handle_prefer(
        ParticipantId(2),
        &[wish(11), wish(12), wish(10)],
        Hears::Everybody,
    );
    assert_eq!(assigned(&room.take_effects()), [(2, "0".into(), Some(12))]);
}

#[test]
fn missing_slots_are_asked_for_up_to_their_bound() {
    let mut room = room();
    room.handle_join(ParticipantId(1), ALL).expect("room");
    room.handle_slots(ParticipantId(1), &lines(1, 0));
    for id in 2..9 {
        room.handle_join(ParticipantId(id), ALL).expect("room");
        room.handle_publish(track(id, id, Source::Microphone))
            .expect("allowed");
    }
    let wanted = room
        .take_effects()
        .into_iter()
        .rev()
        .find_map(|effect| match effect {
            Effect::Tell(Event::Slots {
                participant: ParticipantId(1),
                wanted,
                ..
            }) => Some(wanted),
            Effect::Tell(_) | Effect::Assign(_) | Effect::Gate(..) => None,
        });
    assert_eq!(wanted, Some(Wanted { audio: 2, video: 0 }));
}

#[test]
fn without_the_right_nothing_is_published_or_received() {
    let mut room = room();
    let listener = Rights {
        subscribe: true,
        ..Rights::default()
    };
    room.handle_join(ParticipantId(1), listener).expect("room");
    let refused = room.handle_publish(track(10, 1, Source::Microphone));
    assert_eq!(refused, Err(SfuError::Forbidden));
    room.handle_join(
        ParticipantId(2),
        Rights {
            subscribe: false,
            ..ALL
        },
    )
    .expect("room");
    room.handle_slots(ParticipantId(2), &lines(3, 3));
    room.handle_join(ParticipantId(3), ALL).expect("room");
    room.handle_publish(track(11, 3, Source::Microphone))
        .expect("allowed");
    assert_eq!(assigned(&room.take_effects()), []);
    let foreign = room.handle_mute(ParticipantId(1), PublicationId(11), true);
    assert_eq!(foreign, Err(SfuError::NoSuchPublication));
}

#[test]
fn a_muted_sound_gives_its_slot_to_another() {
    let mut room = room();
    room.handle_join(ParticipantId(1), ALL).expect("room");
    room.handle_slots(ParticipantId(1), &lines(1, 0));
    for id in [2, 3] {
        room.handle_join(ParticipantId(id), ALL).expect("room");
        room.handle_publish(track(id, id, Source::Microphone))
            .expect("allowed");
    }
    room.take_effects();
    room.handle_mute(ParticipantId(2), PublicationId(2), true)
        .expect("theirs");
    let effects = room.take_effects();
    assert_eq!(assigned(&effects), [(1, "0".into(), Some(3))]);
    assert!(effects.contains(&Effect::Gate(PublicationId(2), true)));
    room.handle_heard(&[PublicationId(2), PublicationId(3)]);
    assert_eq!(assigned(&room.take_effects()), []);
}

#[derive(Debug, Clone)]
enum Step {
    Join(u64, bool),
    Leave(u64),
    Publish(u64, u8),
    Unpublish(u64),
    Mute(u64, u64, bool),
    Slots(u64, usize, usize),
    Prefer(u64, Vec<u64>),
    Heard(Vec<u64>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let person = 1..6_u64;
    let step = prop_oneof![
        (person.clone(), any::<bool>()).prop_map(|(p, s)| Step::Join(p, s)),
        person.clone().prop_map(Step::Leave),
        (person.clone(), 0..4_u8).prop_map(|(p, s)| Step::Publish(p, s)),
        (0..40_u64).prop_map(Step::Unpublish),
        (person.clone(), 0..40_u64, any::<bool>()).prop_map(|(p, t, m)| Step::Mute(p, t, m)),
        (person.clone(), 0..4_usize, 0..4_usize).prop_map(|(p, a, v)| Step::Slots(p, a, v)),
        (person, prop::collection::vec(0..40_u64, 0..6)).prop_map(|(p, w)| Step::Prefer(p, w)),
        prop::collection::vec(0..40_u64, 0..6).prop_map(Step::Heard),
    ];
    prop::collection::vec(step, 1..80)
}

fn apply(room: &mut Room, step: &Step, next: &mut u64) {
    match step {
        Step::Join(p, subscribe) => {
            let rights = Rights {
                subscribe: *subscribe,
                ..ALL
            };
            room.handle_join(ParticipantId(*p), rights).expect("room");
        }
        Step::Leave(p) => room.handle_leave(ParticipantId(*p)),
        Step::Publish(p, source) => {
            let sources = [
                Source::Microphone,
                Source::Camera,
                Source::Screen,
                Source::ScreenAudio,
            ];
            *next += 1;
            let _ = room.handle_publish(track(*next, *p, sources[usize::from(*source)]));
        }
        Step::Unpublish(id) => room.handle_unpublish(PublicationId(*id)),
        Step::Mute(p, id, muted) => {
            let _ = room.handle_mute(ParticipantId(*p), PublicationId(*id), *muted);
        }
        Step::Slots(p, audio, video) => {
            room.handle_slots(ParticipantId(*p), &lines(*audio, *video))
        }
        Step::Prefer(p, wishes) => {
            let wishes: Vec<Wish> = wishes.iter().map(|id| wish(*id)).collect();
            room.handle_prefer(ParticipantId(*p), &wishes, Hears::Everybody);
        }
        Step::Heard(order) => {
            let order: Vec<PublicationId> = order.iter().map(|id| PublicationId(*id)).collect();
            room.handle_heard(&order);
        }
    }
}

proptest! {
    /// The fold of the effects is the state, and the state obeys the rules.
    #[test]
    fn slots_carry_what_belongs_there(steps in steps()) {
        let mut room = room();
        let mut next = 0;
        let mut carried: BTreeMap<(u64, Mid), PublicationId> = BTreeMap::new();
        for step in &steps {
            apply(&mut room, step, &mut next);
            for effect in room.take_effects() {
                if let Effect::Assign(a) = effect {
                    match a.publication {
                        Some(id) => carried.insert((a.participant.0, a.mid), id),
                        None => carried.remove(&(a.participant.0, a.mid)),
                    };
                }
            }
            if let Step::Leave(gone) = step {
                carried.retain(|(p, _), _| p != gone);
            }
            let mut told = BTreeMap::new();
            for (participant, member) in &room.members {
                for slot in member.slots.as_told() {
                    let Some(id) = slot.publication else { continue };
                    told.insert((participant.0, slot.mid), id);
                    let publication = room.publication(id).expect("it is published");
                    prop_assert!(publication.participant != *participant);
                    prop_assert!(member.rights.subscribe);
                    let is_audio = publication.source.kind() == MediaKind::Audio;
                    prop_assert!(!(is_audio && publication.is_muted));
                    let wished = member.wishes.iter().any(|w| w.publication == id);
                    prop_assert!(is_audio || wished);
                }
            }
            prop_assert_eq!(&carried, &told);
            let mut pairs: Vec<(u64, PublicationId)> = told.iter().map(|((p, _), id)| (*p, *id)).collect();
            let all = pairs.len();
            pairs.sort_unstable();
            pairs.dedup();
            prop_assert_eq!(pairs.len(), all, "one slot for one publication");
        }
    }
}

#[test]
fn a_crowd_is_heard_in_as_many_voices_as_are_configured_however_many_slots_there_are() {
    let mut room = room();
    for id in 1..=6 {
        room.handle_join(ParticipantId(id), ALL).expect("room");
        room.handle_slots(ParticipantId(id), &lines(6, 0));
        room.handle_publish(track(10 + id, id, Source::Microphone))
            .expect("allowed");
    }
    room.take_effects();
    // The three loudest, and who stands by.
    let order = [16, 15, 14, 13].map(PublicationId);
    room.handle_heard(&order);
    let of = |id: u64| -> Vec<u64> {
        let member = &room.members[&ParticipantId(id)];
        let slots = member.slots.as_told();
        let mut voices: Vec<_> = slots
            .iter()
            .filter_map(|s| Some(s.publication?.0))
            .collect();
        voices.sort_unstable();
        voices
    };
    assert_eq!(of(1), [14, 15, 16], "a listener hears the loudest");
    assert_eq!(of(3), [14, 15, 16]);
    assert_eq!(of(6), [13, 14, 15], "who is among them, one more instead");
}
