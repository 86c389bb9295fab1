//! Connections that are not what they should be: each is closed and bounded, and a call beside goes on.

use super::client::{Client, Line};
use super::wait::pump;
use super::{hears, is_connectivity, stand};
use kaiwa_sfu::control::{Connectivity, Source};
use kaiwa_sfu::wire::framing::length_of;
use kaiwa_sfu::wire::stun::{BindingRequest, IntegrityKey, Role, TransactionId, write_request};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Whether the server has closed it; nothing may have been said on it.
fn is_closed(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(len) => panic!("{len} bytes were answered"),
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

fn check(username: &str, password: &str) -> Vec<u8> {
    let request = BindingRequest {
        transaction: TransactionId(*b"hostile.....".as_slice().first_chunk().unwrap()),
        username,
        priority: 1,
        role: Role::Controlling(7),
        use_candidate: true,
    };
    let mut message = Vec::new();
    write_request(&mut message, &request, &IntegrityKey::new(password));
    [&length_of(message.len())[..], &message].concat()
}

/// Two in a call, by TCP and UDP, and what the first has said last.
fn call(stand: &super::Stand) -> (Client, Client, u32) {
    let mut alice = Client::new(1, vec![Line::send(Source::Microphone, 1)]).by_tcp();
    let mut bob = Client::new(2, vec![Line::receive("audio")]);
    stand.enter(&mut alice);
    stand.enter(&mut bob);
    let mut no = 0;
    hears(&mut alice, &mut bob, &mut no, 5);
    (alice, bob, no)
}

#[test]
fn what_does_not_begin_with_an_authentic_check_is_closed_without_an_answer() {
    let stand = stand(2);
    let (mut alice, mut bob, mut no) = call(&stand);
    let server = alice.server_tcp().unwrap();
    let (ufrag, _) = alice.remote();
    let stolen = check(&format!("{ufrag}:them"), "not the password");
    let mut answered_wrong = stolen.clone();
    answered_wrong.extend([0, 3, 0x80, 1, 2]);
    let begins: [&[u8]; 8] = [
        &stolen,
        &answered_wrong,
        &check("AAAAAAAA:them", "nobody's"),
        &check("nobody", "nobody's"),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[0x16, 0x03, 0x01, 0x02, 0x00],
        &[0xff; 600],
        &[0, 40, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for bytes in begins {
        let mut stream = connect(server);
        stream.write_all(bytes).unwrap();
        pump(&mut [&mut alice, &mut bob], |_| is_closed(&stream));
        hears(&mut alice, &mut bob, &mut no, 3);
    }
}

#[test]
fn who_is_silent_or_slow_to_say_who_they_are_is_closed_in_time() {
    let stand = stand(1);
    let (mut alice, mut bob, mut no) = call(&stand);
    let server = alice.server_tcp().unwrap();
    let (ufrag, password) = alice.remote();
    let whole = check(&format!("{ufrag}:them"), password);
    let silent = connect(server);
    let mut half = connect(server);
    half.write_all(&whole[..whole.len() / 2]).unwrap();
    let mut slow = connect(server);
    let mut bytes = whole.iter().cycle();
    let mut left = whole.len() - 1;
    pump(&mut [&mut alice, &mut bob], |clients| {
        // A byte at a time, and never the last one.
        if left > 0 && slow.write(&[*bytes.next().unwrap()]).is_ok() {
            left -= 1;
        }
        let sent = clients[0].sealed(0, None, Ssrc(1), u64::from(no), no * 960, &[7; 80]);
        clients[0].send(&sent);
        no += 1;
        std::thread::sleep(Duration::from_millis(5));
        [&silent, &half, &slow].into_iter().all(is_closed)
    });
}

use kaiwa_sfu::unit::Ssrc;

#[test]
fn ten_thousand_connections_are_bounded_and_a_call_goes_on() {
    let stand = stand(1);
    let (mut alice, mut bob, mut no) = call(&stand);
    let server = alice.server_tcp().unwrap();
    let mut open = VecDeque::new();
    for count in 0..10_000 {
        open.push_back(connect(server));
        if open.len() > 500 {
            open.pop_front();
        }
        if count % 1_000 == 0 {
            hears(&mut alice, &mut bob, &mut no, 3);
        }
    }
    // Of those that are open no more than so many wait; the others are closed already.
    let bound = kaiwa_common::limits::MEDIA_TCP_UNKNOWN_EACH;
    pump(&mut [&mut alice, &mut bob], |_| {
        open.iter().filter(|stream| !is_closed(stream)).count() <= bound
    });
    drop(open);
    hears(&mut alice, &mut bob, &mut no, 3);
    let mut carol = Client::new(3, vec![Line::receive("audio")]).by_tcp();
    stand.enter(&mut carol);
    hears(&mut alice, &mut carol, &mut no, 3);
}

#[test]
fn a_frame_that_is_too_long_or_cut_off_ends_its_connection_and_no_other() {
    let stand = stand(1);
    let (mut alice, mut bob, mut no) = call(&stand);
    for cut_off in [false, true] {
        let id = 10 + u64::from(cut_off);
        let mut mallory = Client::new(id, vec![Line::receive("audio")]).by_tcp();
        stand.enter(&mut mallory);
        hears(&mut alice, &mut mallory, &mut no, 3);
        if cut_off {
            mallory.link().write(&[4, 0, 0x80, 0, 1]);
            mallory.move_away();
        } else {
            mallory.link().write(&[0x08, 0x01]);
        }
        pump(&mut [&mut alice, &mut mallory], |clients| {
            let sent = clients[0].sealed(0, None, Ssrc(1), u64::from(no), no * 960, &[7; 80]);
            clients[0].send(&sent);
            no += 1;
            let mallory = &*clients[1];
            stand
                .events
                .has(|event| is_connectivity(event, mallory, Connectivity::Interrupted))
        });
        assert!(cut_off || mallory.link().has_ended());
        hears(&mut alice, &mut bob, &mut no, 3);
    }
}
