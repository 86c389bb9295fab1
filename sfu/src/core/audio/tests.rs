use super::*;

fn at(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

const LOUD: Option<AudioLevel> = Some(AudioLevel {
    level: 20,
    voice: true,
});
const SOFT: Option<AudioLevel> = Some(AudioLevel {
    level: 50,
    voice: true,
});
const SILENT: Option<AudioLevel> = Some(AudioLevel {
    level: 127,
    voice: false,
});

/// A room with voices whose keys are 0, 1, 2 …
fn room(limit: usize, voices: u32) -> (AudioRoom, Vec<VoiceIndex>) {
    let mut room = AudioRoom::new(limit);
    let voices = (0..voices)
        .map(|key| room.insert(SourceKey(key)).unwrap())
        .collect();
    (room, voices)
}

fn changes(room: &mut AudioRoom) -> Vec<Change> {
    std::iter::from_fn(|| room.poll_change()).collect()
}

/// Each voice sends every 20 ms what `level` says.
fn talk(
    room: &mut AudioRoom,
    voices: &[VoiceIndex],
    (from, to): (Instant, Instant),
    level: impl Fn(usize) -> Option<AudioLevel>,
) {
    let mut now = from;
    while now < to {
        for (key, &voice) in voices.iter().enumerate() {
            room.handle_packet(now, voice, level(key), 80);
        }
        now += Duration::from_millis(20);
    }
}

#[test]
fn all_are_heard_while_there_is_room() {
    let (mut room, voices) = room(3, 3);
    assert!(voices.iter().all(|&voice| room.is_heard(voice)));
    assert_eq!(changes(&mut room).len(), 3);
}

#[test]
fn a_voice_is_heard_from_its_first_loud_packet_on() {
    let start = Instant::now();
    let (mut room, voices) = room(2, 4);
    changes(&mut room);
    talk(&mut room, &voices, (start, at(start, 500)), |_| SILENT);
    assert!(changes(&mut room).is_empty());
    assert!(room.handle_packet(at(start, 500), voices[3], LOUD, 80));
    let expected = [Change::Withheld(SourceKey(0)), Change::Heard(SourceKey(3))];
    assert_eq!(changes(&mut room), expected);
}

#[test]
fn who_has_spoken_keeps_the_place_for_a_while() {
    let start = Instant::now();
    let (mut room, voices) = room(1, 2);
    talk(&mut room, &voices, (start, at(start, 500)), |key| {
        if key == 0 { LOUD } else { SILENT }
    });
    // The first pauses; the second clears the throat softly.
    let pause = (at(start, 500), at(start, 600));
    talk(&mut room, &voices, pause, |key| {
        if key == 0 { SILENT } else { SOFT }
    });
    assert!(room.is_heard(voices[0]));
    let speech = (at(start, 600), at(start, 4_000));
    talk(&mut room, &voices, speech, |key| {
        if key == 0 { SILENT } else { SOFT }
    });
    assert!(room.is_heard(voices[1]));
}

#[test]
fn two_voices_of_one_loudness_do_not_take_turns() {
    let start = Instant::now();
    let (mut room, voices) = room(1, 2);
    changes(&mut room);
    talk(&mut room, &voices, (start, at(start, 10_000)), |_| LOUD);
    assert!(changes(&mut room).is_empty());
}

#[test]
fn a_place_that_gets_free_goes_to_the_loudest() {
    let start = Instant::now();
    let (mut room, voices) = room(1, 3);
    talk(
        &mut room,
        &voices,
        (start, at(start, 500)),
        |key| match key {
            0 => LOUD,
            1 => SILENT,
            _ => SOFT,
        },
    );
    changes(&mut room);
    room.remove(at(start, 500), voices[0]);
    let expected = [Change::Withheld(SourceKey(0)), Change::Heard(SourceKey(2))];
    assert_eq!(changes(&mut room), expected);
    assert_eq!(room.insert(SourceKey(9)), Some(voices[0]));
    assert!(!room.is_heard(voices[0]));
}

#[test]
fn changes_that_nobody_took_cancel_out() {
    let start = Instant::now();
    let mut room = AudioRoom::new(1);
    for key in 0..100 {
        let voice = room.insert(SourceKey(key)).unwrap();
        room.remove(start, voice);
    }
    assert!(changes(&mut room).is_empty());
}

#[test]
fn never_more_are_heard_than_the_limit() {
    let start = Instant::now();
    let (mut room, voices) = room(3, 40);
    let mut random = 0x1234_5678u32;
    for tick in 0..500u64 {
        for &voice in &voices {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let level = AudioLevel {
                level: u8::try_from(random % 128).unwrap(),
                voice: random & 0x1000 == 0,
            };
            room.handle_packet(at(start, tick * 20), voice, Some(level), 80);
        }
        while room.poll_change().is_some() {}
        let heard = voices.iter().filter(|&&voice| room.is_heard(voice));
        assert_eq!(heard.count(), 3);
    }
}

#[test]
fn speakers_are_said_on_a_change_and_every_300_ms_at_most() {
    let start = Instant::now();
    let (mut room, voices) = room(3, 3);
    let mut out = Vec::new();
    talk(
        &mut room,
        &voices,
        (start, at(start, 300)),
        |key| match key {
            0 => SOFT,
            1 => LOUD,
            _ => SILENT,
        },
    );
    assert!(room.poll_speakers(at(start, 290), &mut out));
    let order: Vec<u32> = out.iter().map(|speaking| speaking.source.0).collect();
    assert_eq!(order, [1, 0]);
    assert_eq!(out[0].level, 20);
    assert_eq!(room.floor(), Some(SourceKey(1)));
    assert!(!room.poll_speakers(at(start, 589), &mut out));
    assert_eq!(room.next_due(), Some(at(start, 590)));
    assert!(room.poll_speakers(at(start, 1_000), &mut out));
    assert!(out.is_empty());
    assert!(!room.poll_speakers(at(start, 1_300), &mut out));
}

#[test]
fn the_floor_is_kept_through_a_pause_and_against_a_cough() {
    let start = Instant::now();
    let (mut room, voices) = room(3, 2);
    let mut out = Vec::new();
    let mut speak = |room: &mut AudioRoom, from: u64, to: u64, who: usize| {
        talk(room, &voices, (at(start, from), at(start, to)), |key| {
            if key == who { LOUD } else { SILENT }
        });
        room.poll_speakers(at(start, to), &mut out);
        room.floor()
    };
    assert_eq!(speak(&mut room, 0, 3_000, 0), Some(SourceKey(0)));
    assert_eq!(speak(&mut room, 3_000, 3_300, 1), Some(SourceKey(0)));
    assert_eq!(speak(&mut room, 3_300, 5_300, 2), Some(SourceKey(0)));
    assert_eq!(speak(&mut room, 5_300, 6_000, 1), Some(SourceKey(1)));
    assert_eq!(speak(&mut room, 6_000, 9_000, 0), Some(SourceKey(0)));
}

#[test]
fn named_speakers_are_few_and_the_loudest() {
    let start = Instant::now();
    let (mut room, voices) = room(3, 30);
    let mut out = Vec::new();
    talk(&mut room, &voices, (start, at(start, 400)), |key| {
        Some(AudioLevel {
            level: u8::try_from(60 - key).unwrap(),
            voice: true,
        })
    });
    assert!(room.poll_speakers(at(start, 400), &mut out));
    assert_eq!(out.len(), MAX_SPEAKERS);
    assert_eq!(out[0].source, SourceKey(29));
    assert!(out.is_sorted_by_key(|speaking| speaking.level));
}

#[test]
fn a_voice_that_left_does_not_keep_the_floor() {
    let start = Instant::now();
    let (mut room, voices) = room(3, 2);
    let mut out = Vec::new();
    talk(&mut room, &voices, (start, at(start, 400)), |key| {
        if key == 0 { LOUD } else { SILENT }
    });
    room.poll_speakers(at(start, 400), &mut out);
    room.remove(at(start, 410), voices[0]);
    room.remove(at(start, 410), voices[0]);
    assert_eq!(room.floor(), None);
    assert!(!room.handle_packet(at(start, 420), voices[0], LOUD, 80));
}

#[test]
fn who_had_to_give_way_stands_by_until_somebody_else_speaks() {
    let start = Instant::now();
    let (mut room, voices) = room(2, 4);
    assert_eq!(
        room.standby(),
        Some(SourceKey(2)),
        "the first without a place"
    );
    talk(&mut room, &voices, (start, at(start, 500)), |key| {
        if key < 2 { SOFT } else { SILENT }
    });
    // Too soft for a place, but the only other one that speaks.
    talk(
        &mut room,
        &voices,
        (at(start, 500), at(start, 700)),
        |key| {
            if key == 2 { SILENT } else { SOFT }
        },
    );
    assert_eq!(room.standby(), Some(SourceKey(3)));
    talk(
        &mut room,
        &voices,
        (at(start, 700), at(start, 1_000)),
        |key| {
            if key == 2 { LOUD } else { SOFT }
        },
    );
    assert!(room.is_heard(voices[2]));
    let displaced = room.standby().unwrap();
    assert!(displaced == SourceKey(0) || displaced == SourceKey(1));
    let index = usize::try_from(displaced.0).unwrap();
    assert!(!room.is_heard(voices[index]));
    room.remove(at(start, 1_000), voices[index]);
    assert_eq!(room.standby(), Some(SourceKey(3)));
    room.remove(at(start, 1_000), voices[2]);
    assert_eq!(room.standby(), None, "all are heard");
}
