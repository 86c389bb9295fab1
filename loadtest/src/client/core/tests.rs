use super::*;
use kaiwa_proto::client::v1::{Committed, EventPage, Send};

struct Bench {
    core: Core,
    now: Instant,
}

impl Bench {
    fn online() -> Self {
        let mut bench = Self {
            core: Core::new("d"),
            now: Instant::now(),
        };
        bench.core.handle_open("t");
        bench.reply(1, connected("s_1", false, 0));
        bench.drain();
        bench
    }

    fn drain(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.core.poll_effect()).collect()
    }

    fn sent(&mut self) -> Vec<ClientMessage> {
        let sent = |effect| {
            if let Effect::Send(message) = effect {
                Some(message)
            } else {
                None
            }
        };
        self.drain().into_iter().filter_map(sent).collect()
    }

    fn reply(&mut self, id: u32, result: reply::Result) {
        let reply = Reply {
            id,
            result: Some(result),
        };
        let message = Some(server_message::Message::Reply(reply));
        self.core
            .handle_message(ServerMessage { message }, self.now);
    }

    fn push(&mut self, push: push::Push) {
        let push = Push { push: Some(push) };
        let message = Some(server_message::Message::Push(push));
        self.core
            .handle_message(ServerMessage { message }, self.now);
    }

    fn faults(&mut self) -> usize {
        let fault = |e: &Effect| matches!(e, Effect::Notify(Notice::Fault(_)));
        self.drain().iter().filter(|e| fault(e)).count()
    }
}

fn connected(session: &str, resumed: bool, count: u64) -> reply::Result {
    let refused = if resumed { "" } else { "unknown" };
    reply::Result::Connected(Connected {
        session: session.into(),
        resumed,
        resume_refused: refused.into(),
        count,
        ..Connected::default()
    })
}

fn write(cid: &str) -> Command {
    Command::Send(Send {
        room: "r".into(),
        cid: cid.into(),
        ..Send::default()
    })
}

fn event(seq: u64) -> push::Push {
    push::Push::Event(Event {
        room: "r".into(),
        epoch: 1,
        seq,
        ..Event::default()
    })
}

fn resume_of(messages: &[ClientMessage]) -> Option<(String, u64)> {
    let Some(Command::Connect(connect)) = &messages.first()?.command else {
        return None;
    };
    connect
        .resume
        .as_ref()
        .map(|r| (r.session.clone(), r.count))
}

fn cids(messages: &[ClientMessage]) -> Vec<String> {
    let cid = |message: &'_ ClientMessage| {
        if let Some(Command::Send(send)) = &message.command {
            Some(send.cid.clone())
        } else {
            None
        }
    };
    messages.iter().filter_map(cid).collect()
}

#[test]
fn writes_without_an_answer_are_sent_again_in_order() {
    let mut bench = Bench::online();
    for (ticket, cid) in [(1, "a"), (2, "b"), (3, "c")] {
        bench.core.handle_request(ticket, write(cid), Again::Always);
    }
    let sent = bench.sent();
    bench.reply(sent[1].id, reply::Result::Committed(Committed::default()));
    bench.core.handle_lost(false, bench.now);
    bench.core.handle_open("t");
    let connect = bench.sent();
    bench.reply(connect[0].id, connected("s_1", true, 0));
    assert_eq!(cids(&bench.sent()), ["a", "c"]);
}

#[test]
fn what_is_not_to_be_sent_again_is_given_up() {
    let mut bench = Bench::online();
    bench.core.handle_request(9, write("a"), Again::Never);
    bench.drain();
    bench.core.handle_lost(false, bench.now);
    let given_up = |e: &Effect| matches!(e, Effect::Answer(9, Outcome { result: None, .. }));
    assert!(bench.drain().iter().any(given_up));
}

#[test]
fn reliable_pushes_are_counted_and_the_count_is_claimed() {
    let mut bench = Bench::online();
    bench.push(event(1));
    bench.push(push::Push::State(RoomState::default()));
    bench.push(push::Push::Gap(kaiwa_proto::client::v1::Gap::default()));
    bench.push(push::Push::Ping(Ping {
        count: 3,
        heads: vec![],
    }));
    let sent = bench.sent();
    assert_eq!(sent[0].command, Some(Command::Pong(Pong { count: 3 })));
    bench.core.handle_lost(true, bench.now);
    bench.core.handle_open("t");
    assert_eq!(resume_of(&bench.sent()), Some(("s_1".into(), 3)));
}

#[test]
fn a_lost_push_is_noticed_by_the_next_ping() {
    let mut bench = Bench::online();
    bench.push(event(1));
    bench.push(push::Push::Ping(Ping {
        count: 2,
        heads: vec![],
    }));
    assert!(bench.drain().iter().any(|e| matches!(e, Effect::Reconnect)));
}

#[test]
fn a_server_that_resumes_at_another_count_is_at_fault() {
    let mut bench = Bench::online();
    bench.push(event(1));
    bench.core.handle_lost(true, bench.now);
    bench.core.handle_open("t");
    let connect = bench.sent();
    bench.reply(connect[0].id, connected("s_1", true, 0));
    assert_eq!(bench.faults(), 1);
}

#[test]
fn a_second_reply_to_one_command_is_a_fault() {
    let mut bench = Bench::online();
    bench.core.handle_request(1, write("a"), Again::Always);
    let id = bench.sent()[0].id;
    bench.reply(id, reply::Result::Committed(Committed::default()));
    assert_eq!(bench.faults(), 0);
    bench.reply(id, reply::Result::Committed(Committed::default()));
    assert_eq!(bench.faults(), 1);
}

#[test]
fn a_temporary_error_puts_a_write_off_by_its_time() {
    let mut bench = Bench::online();
    bench.core.handle_request(1, write("a"), Again::Always);
    let id = bench.sent()[0].id;
    let error = Error {
        code: 104,
        temporary: true,
        retry_ms: 500,
        ..Error::default()
    };
    bench.reply(id, reply::Result::Error(error));
    assert!(bench.sent().is_empty());
    let due = bench.core.poll_timeout().unwrap();
    assert_eq!(due, bench.now + Duration::from_millis(500));
    bench.core.handle_time(due);
    assert_eq!(cids(&bench.sent()), ["a"]);
    bench.reply(id, reply::Result::Committed(Committed::default()));
    let answer = |e: &Effect| matches!(e, Effect::Answer(1, o) if o.delayed);
    assert!(bench.drain().iter().any(answer));
}

#[test]
fn what_was_missed_comes_with_connected_and_is_delivered_once() {
    let mut bench = Bench::online();
    bench.core.handle_follow("r", 1, 0);
    bench.push(event(1));
    bench.core.handle_lost(false, bench.now);
    bench.core.handle_open("t");
    let connect = bench.sent();
    let id = connect.last().unwrap().id;
    let page = EventPage {
        room: "r".into(),
        epoch: 1,
        events: (2..=3)
            .map(|seq| Event {
                room: "r".into(),
                epoch: 1,
                seq,
                ..Event::default()
            })
            .collect(),
        head: 3,
        ..EventPage::default()
    };
    let rooms = vec![Subscribed {
        room: "r".into(),
        epoch: 1,
        head: 3,
        outcome: Some(subscribed::Outcome::Events(page)),
        call: None,
    }];
    bench.drain();
    bench.reply(
        id,
        reply::Result::Connected(Connected {
            session: "s_2".into(),
            resume_refused: "unknown".into(),
            rooms,
            ..Connected::default()
        }),
    );
    bench.push(event(3));
    let seqs: Vec<u64> = bench
        .drain()
        .into_iter()
        .filter_map(|effect| {
            let Effect::Notify(Notice::Delivered(event)) = effect else {
                return None;
            };
            Some(event.seq)
        })
        .collect();
    assert_eq!(seqs, [2, 3]);
}

#[test]
fn a_hole_that_connected_shows_is_asked_for_once() {
    let mut bench = Bench::online();
    bench.core.handle_follow("r", 1, 0);
    bench.core.handle_lost(false, bench.now);
    bench.core.handle_open("t");
    let id = bench.sent().last().unwrap().id;
    let page = EventPage {
        room: "r".into(),
        epoch: 1,
        head: 9,
        more: true,
        ..EventPage::default()
    };
    let rooms = vec![Subscribed {
        room: "r".into(),
        epoch: 1,
        head: 9,
        outcome: Some(subscribed::Outcome::Events(page)),
        call: None,
    }];
    let resume_refused = "unknown".to_owned();
    let connected = Connected {
        resume_refused,
        rooms,
        ..Connected::default()
    };
    bench.reply(id, reply::Result::Connected(connected));
    let reads = bench
        .sent()
        .into_iter()
        .filter(|m| matches!(m.command, Some(Command::Events(_))));
    assert_eq!(reads.count(), 1);
}
