//! What comes from somebody else, or from a peer that means no good.

use super::link::Dice;
use super::*;

/// A record with its header.
fn record(content: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![content, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0xff, 0xff];
    record.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    record.extend(body);
    record
}

fn noise(dice: &mut Dice, len: usize) -> Vec<u8> {
    (0..len)
        .map(|_| u8::try_from(dice.roll(256)).unwrap())
        .collect()
}

/// What no handshake has, in all its forms.
fn garbage(dice: &mut Dice) -> Vec<u8> {
    let len = dice.roll(300);
    let body = noise(dice, len);
    match dice.roll(8) {
        0 => body,
        1 => record(23, 0, &body),
        2 => record(23, 1, &body),
        3 => record(20, 1, &[1]),
        4 => record(21, 0, &[1, 90]),
        5 => record(22, 1, &body),
        6 => record(22, 0, &body),
        _ => record(21, 1, &body),
    }
}

#[test]
fn garbage_in_between_does_not_stop_a_handshake() {
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let mut world = World::offering(&BOTH);
        let mut link = Link::good();
        for _ in 0..12 {
            let (server, client) = (garbage(&mut dice), garbage(&mut dice));
            world.deliver(Side::Client, &server);
            world.deliver(Side::Server, &client);
            let steps = std::cell::Cell::new(0);
            world.run_until(&mut link, |_| steps.replace(steps.get() + 1) == 1);
        }
        world.run(&mut link);
        assert!(world.agrees(), "seed {seed}");
    }
}

#[test]
fn nothing_in_the_clear_touches_a_connection() {
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let mut world = World::offering(&BOTH);
        world.run(&mut Link::good());
        for forged in [
            record(21, 0, &[2, 40]),
            record(21, 0, &[1, 0]),
            record(20, 1, &[1]),
        ] {
            world.deliver(Side::Client, &forged);
            world.deliver(Side::Server, &forged);
        }
        for _ in 0..200 {
            let garbage = garbage(&mut dice);
            world.deliver(Side::Client, &garbage);
            world.deliver(Side::Server, &garbage);
        }
        world.run(&mut Link::good());
        assert!(!world.server.closed && world.server.failure.is_none());
        world.close(Side::Client);
        world.run(&mut Link::good());
        assert!(world.server.closed, "seed {seed}");
    }
}

#[test]
fn a_connected_server_repeats_its_last_flight_a_bounded_number_of_times() {
    let mut world = World::offering(&BOTH);
    world.run(&mut Link::good());
    let mut sent = 0;
    for _ in 0..1_000 {
        world.now += Duration::from_millis(20);
        world.deliver(Side::Client, &record(22, 1, &[9; 40]));
        while world.server.dtls.poll_transmit().is_some() {
            sent += 1;
        }
    }
    assert!((1..=32).contains(&sent), "{sent}");
}

#[test]
fn a_peer_that_sends_fragments_without_end_is_given_up() {
    let mut world = World::offering(&BOTH);
    let mut link = Link::good();
    let waits = |world: &World| world.client.dtls.poll_timeout().is_none();
    link.lose(Side::Server, 1..1_000);
    let steps = std::cell::Cell::new(0);
    world.run_until(&mut link, |world| {
        waits(world) || steps.replace(steps.get() + 1) == 4
    });
    let mut count = 0u16;
    while world.server.dtls.poll_event().is_none() {
        // One byte of a message of 16,000 each.
        let mut fragment = vec![11, 0, 0x3e, 0x80, 0, 2, 0];
        fragment.extend(count.to_be_bytes());
        fragment.extend([0, 0, 1, 7]);
        let mut datagram = record(22, 0, &fragment);
        datagram[9..11].copy_from_slice(&count.to_be_bytes());
        let _ = world.server.dtls.handle_datagram(world.now, &datagram);
        count += 1;
        assert!(count < 1_000);
    }
}

#[test]
fn flights_with_bytes_changed_never_panic_and_never_split_the_keys() {
    let mut connected = 0;
    for seed in 0..100 {
        let mut dice = Dice::new(seed);
        let mut world = World::offering(&BOTH);
        let mut link = Link::bad(seed, 10);
        for _ in 0..60 {
            let steps = std::cell::Cell::new(0);
            world.run_until(&mut link, |_| steps.replace(steps.get() + 1) == 1);
            link.change_one(|datagram| change(&mut dice, datagram));
        }
        world.run(&mut link);
        if world.server.connected.is_some() && world.client.connected.is_some() {
            connected += 1;
            assert!(world.agrees(), "seed {seed}");
        }
    }
    assert!(connected > 0, "every one of them was stopped");
}

/// A handshake fragment whose headers are right and whose content is anything.
fn wild_fragment(dice: &mut Dice) -> Vec<u8> {
    let len = dice.roll(200);
    let body = noise(dice, len);
    let kind = [1, 11, 14, 15, 16, 20][dice.roll(6)];
    let short = u8::try_from(len).unwrap();
    let number = u8::try_from(dice.roll(6)).unwrap();
    let mut fragment = vec![kind, 0, 0, short, 0, number, 0, 0, 0, 0, 0, short];
    fragment.extend(body);
    fragment
}

#[test]
fn messages_with_any_content_never_panic() {
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let mut world = World::offering(&BOTH);
        let mut link = Link::good();
        let steps = std::cell::Cell::new(dice.roll(5));
        world.run_until(&mut link, |_| {
            let left = steps.get();
            steps.set(left.saturating_sub(1));
            left == 0
        });
        for number in 0..40 {
            let mut datagram = record(22, 0, &wild_fragment(&mut dice));
            datagram[9..11].copy_from_slice(&[0, 60 + number]);
            world.deliver(Side::Client, &datagram);
            world.deliver(Side::Server, &datagram);
        }
        world.run(&mut link);
        assert!(world.agrees() || world.client.connected.is_none());
    }
}

/// Changes, cuts or lengthens, as often in the fields of a header as anywhere.
fn change(dice: &mut Dice, datagram: &mut Vec<u8>) {
    if datagram.is_empty() || dice.roll(3) > 0 {
        return;
    }
    let len = datagram.len();
    let at = if dice.roll(2) == 0 {
        dice.roll(len.min(60))
    } else {
        dice.roll(len)
    };
    match dice.roll(5) {
        0 => datagram.truncate(at),
        1 => datagram.extend(noise(dice, 20)),
        2 => datagram[at] = 0xff,
        3 => datagram[at] = 0,
        _ => datagram[at] ^= 1 << dice.roll(8),
    }
}
