//! A record without a fault, and one test for each way to spoil it.

use super::super::journal::hash;
use super::*;
use kaiwa_proto::client::v1::{Event, MessageDeleted, MessageEdited, MessagePosted, event};

const ROOM: &str = "r_1";

fn logged(seq: u64, sender: &str, body: event::Body) -> Event {
    Event {
        room: ROOM.into(),
        epoch: 1,
        seq,
        time_ms: 1_000 + i64::try_from(seq).unwrap(),
        sender: sender.into(),
        cid: format!("c{seq}"),
        body: Some(body),
    }
}

fn posted(text: &str) -> event::Body {
    event::Body::Message(MessagePosted {
        text: text.into(),
        ..MessagePosted::default()
    })
}

fn log() -> Vec<Event> {
    vec![
        logged(1, "ann", posted("one")),
        logged(2, "bob", posted("two")),
        logged(
            3,
            "ann",
            event::Body::Edited(MessageEdited {
                target: 1,
                text: "one!".into(),
                ..MessageEdited::default()
            }),
        ),
        logged(4, "ann", posted("four")),
        logged(5, "bob", event::Body::Deleted(MessageDeleted { target: 2 })),
    ]
}

/// What was pushed and delivered is the log before the delete erased a text.
fn sound() -> Record {
    let before = log();
    let mut after = log();
    after[1].body = Some(event::Body::Message(MessagePosted {
        erased: true,
        ..MessagePosted::default()
    }));
    let journal = |person: &str| {
        let mut entries = vec![Entry::Connected {
            session: format!("s_{person}"),
            resumed: false,
        }];
        for event in &before {
            let seen = Seen::from(event);
            let (room, cid) = (ROOM.to_owned(), event.cid.clone());
            if event.sender == person {
                entries.push(Entry::Sent {
                    room: room.clone(),
                    cid: cid.clone(),
                    content: seen.content,
                });
            }
            entries.push(Entry::Pushed {
                room: room.clone(),
                seq: event.seq,
            });
            entries.push(Entry::Delivered {
                room: room.clone(),
                event: seen,
            });
            if event.sender == person {
                entries.push(Entry::Acked {
                    room,
                    cid,
                    epoch: 1,
                    seq: event.seq,
                    dup: false,
                    delayed: false,
                    repeat: false,
                });
            }
        }
        Journal {
            person: person.into(),
            follows: vec![ROOM.into()],
            entries,
        }
    };
    let history = fold::messages(&after).into_values().collect();
    Record {
        journals: vec![journal("ann"), journal("bob")],
        rooms: vec![RoomRecord {
            room: ROOM.into(),
            epoch: 1,
            head: 5,
            log: after,
            history,
        }],
    }
}

#[track_caller]
fn finds(promise: Promise, spoil: impl FnOnce(&mut Record)) {
    let mut record = sound();
    spoil(&mut record);
    let found = check(&record);
    assert!(
        found.iter().any(|v| v.promise == promise),
        "{promise:?} not in {found:?}"
    );
}

/// The place in a person's entries of the first one for which this holds.
fn place(record: &Record, person: usize, is: impl Fn(&Entry) -> bool) -> usize {
    record.journals[person].entries.iter().position(is).unwrap()
}

fn delivered(seq: u64) -> impl Fn(&Entry) -> bool {
    move |entry| matches!(entry, Entry::Delivered { event, .. } if event.seq == seq)
}

#[test]
fn a_sound_record_has_no_violations() {
    assert_eq!(check(&sound()), []);
}

#[test]
fn an_acknowledged_write_that_is_lost_is_found() {
    finds(Promise::AckedIsThere, |r| {
        r.rooms[0].log.truncate(3);
        r.rooms[0].head = 3;
    });
}

#[test]
fn an_acknowledgement_of_another_place_is_found() {
    finds(Promise::AckedIsThere, |r| {
        let at = place(r, 0, |e| matches!(e, Entry::Acked { seq: 4, .. }));
        let Entry::Acked { seq, .. } = &mut r.journals[0].entries[at] else {
            unreachable!()
        };
        *seq = 3;
    });
}

#[test]
fn a_write_that_was_changed_on_the_way_is_found() {
    finds(Promise::AckedIsThere, |r| {
        r.rooms[0].log[3].body = Some(posted("for"))
    });
    finds(Promise::NothingInvented, |r| {
        r.rooms[0].log[3].body = Some(posted("for"))
    });
}

#[test]
fn a_write_that_is_there_twice_is_found() {
    finds(Promise::CidOnce, |r| {
        let again = Event {
            seq: 6,
            time_ms: 2_000,
            ..r.rooms[0].log[3].clone()
        };
        r.rooms[0].log.push(again);
        r.rooms[0].head = 6;
    });
}

#[test]
fn a_hole_in_the_log_is_found() {
    finds(Promise::LogDense, |r| {
        r.rooms[0].log.remove(2);
    });
    finds(Promise::LogDense, |r| r.rooms[0].head = 6);
    finds(Promise::LogDense, |r| r.rooms[0].log[2].epoch = 2);
}

#[test]
fn time_that_runs_backwards_is_found() {
    finds(Promise::LogTime, |r| r.rooms[0].log[3].time_ms = 5);
}

#[test]
fn another_answer_to_the_same_cid_is_found() {
    let again = |seq, dup| Entry::Acked {
        room: ROOM.into(),
        cid: "c4".into(),
        epoch: 1,
        seq,
        dup,
        delayed: false,
        repeat: true,
    };
    finds(Promise::AckSteady, |r| {
        r.journals[0].entries.push(again(5, true))
    });
    finds(Promise::AckSteady, |r| {
        r.journals[0].entries.push(again(4, false))
    });
}

#[test]
fn a_refused_write_in_the_log_is_found() {
    finds(Promise::RefusedIsNowhere, |r| {
        let at = place(r, 0, |e| matches!(e, Entry::Acked { seq: 4, .. }));
        r.journals[0].entries[at] = Entry::Refused {
            room: ROOM.into(),
            cid: "c4".into(),
            code: 404,
        };
    });
}

#[test]
fn a_write_without_an_answer_is_found() {
    finds(Promise::Answered, |r| {
        let at = place(r, 0, |e| matches!(e, Entry::Acked { seq: 4, .. }));
        r.journals[0].entries.remove(at);
    });
}

#[test]
fn an_event_that_nobody_sent_is_found() {
    finds(Promise::NothingInvented, |r| {
        let at = place(
            r,
            0,
            |e| matches!(e, Entry::Sent { cid, .. } if cid == "c4"),
        );
        r.journals[0].entries.remove(at);
    });
    finds(Promise::NothingInvented, |r| {
        r.rooms[0].log[3].sender = "bob".into()
    });
}

#[test]
fn a_delivery_that_is_lost_doubled_or_out_of_order_is_found() {
    finds(Promise::DeliveredOnce, |r| {
        let at = place(r, 1, delivered(3));
        r.journals[1].entries.remove(at);
    });
    finds(Promise::DeliveredOnce, |r| {
        let at = place(r, 1, delivered(3));
        let again = r.journals[1].entries[at].clone();
        r.journals[1].entries.insert(at, again);
    });
    finds(Promise::DeliveredOnce, |r| {
        let (a, b) = (place(r, 1, delivered(3)), place(r, 1, delivered(4)));
        r.journals[1].entries.swap(a, b);
    });
}

#[test]
fn a_receiver_who_got_something_else_is_found() {
    finds(Promise::DeliveredSame, |r| {
        let at = place(r, 1, delivered(4));
        let Entry::Delivered { event, .. } = &mut r.journals[1].entries[at] else {
            unreachable!()
        };
        event.content = Content::Posted { text: hash("fore") };
    });
}

#[test]
fn a_text_that_changed_before_it_was_erased_is_found() {
    finds(Promise::DeliveredSame, |r| {
        let at = place(r, 0, delivered(2));
        let Entry::Delivered { event, .. } = &mut r.journals[0].entries[at] else {
            unreachable!()
        };
        event.content = Content::Posted { text: hash("too") };
    });
}

#[test]
fn a_receiver_who_is_behind_in_the_end_is_found() {
    finds(Promise::CaughtUp, |r| {
        let at = place(r, 1, delivered(5));
        r.journals[1].entries.remove(at);
    });
}

#[test]
fn a_push_that_is_doubled_or_left_out_without_a_word_is_found() {
    let pushed = |wanted| move |e: &Entry| matches!(e, Entry::Pushed { seq, .. } if *seq == wanted);
    finds(Promise::PushedOnce, |r| {
        let at = place(r, 1, pushed(3));
        let session = "s_bob".to_owned();
        let entries = &mut r.journals[1].entries;
        entries.insert(
            at,
            Entry::Connected {
                session,
                resumed: true,
            },
        );
        entries.insert(
            at,
            Entry::Pushed {
                room: ROOM.into(),
                seq: 3,
            },
        );
    });
    finds(Promise::PushedOnce, |r| {
        let at = place(r, 1, pushed(3));
        r.journals[1].entries.remove(at);
    });
}

#[test]
fn a_push_that_a_gap_announced_may_be_left_out() {
    let mut record = sound();
    let at = place(&record, 1, |e| matches!(e, Entry::Pushed { seq: 3, .. }));
    record.journals[1].entries[at] = Entry::Gap {
        room: ROOM.into(),
        head: 3,
    };
    assert_eq!(check(&record), []);
}

#[test]
fn writes_of_one_sender_in_another_order_are_found() {
    finds(Promise::SenderOrder, |r| {
        let a = place(
            r,
            0,
            |e| matches!(e, Entry::Sent { cid, .. } if cid == "c1"),
        );
        let b = place(
            r,
            0,
            |e| matches!(e, Entry::Sent { cid, .. } if cid == "c4"),
        );
        r.journals[0].entries.swap(a, b);
    });
}

#[test]
fn a_history_that_differs_from_the_events_is_found() {
    finds(Promise::HistoryIsFold, |r| {
        r.rooms[0].history[0].text = "one".into()
    });
    finds(Promise::HistoryIsFold, |r| {
        r.rooms[0].history.pop();
    });
    finds(Promise::HistoryIsFold, |r| r.rooms[0].history.swap(0, 1));
    finds(Promise::HistoryIsFold, |r| r.rooms[0].history[2].seq = 5);
}

#[test]
fn a_drain_without_a_bye_is_found() {
    let lost = |bye, cut| Entry::Lost {
        bye,
        cut,
        server: Fate::Draining,
    };
    finds(Promise::DrainSaysBye, |r| {
        r.journals[0].entries.push(lost(None, false))
    });
    finds(Promise::DrainSaysBye, |r| {
        r.journals[0].entries.push(lost(Some(4004), false))
    });
    let mut record = sound();
    record.journals[0].entries.push(lost(Some(4000), false));
    record.journals[0].entries.push(lost(None, true));
    assert_eq!(check(&record), []);
}

#[test]
fn a_connection_that_ends_without_a_word_is_found() {
    let lost = |server| Entry::Lost {
        bye: None,
        cut: false,
        server,
    };
    finds(Promise::NotDropped, |r| {
        r.journals[0].entries.push(lost(Fate::Running))
    });
    let mut record = sound();
    record.journals[0].entries.push(lost(Fate::Killed));
    assert_eq!(check(&record), []);
}

#[test]
fn what_the_client_complained_of_is_found() {
    finds(Promise::NoFault, |r| {
        r.journals[0].entries.push(Entry::Fault("hm".into()))
    });
}
