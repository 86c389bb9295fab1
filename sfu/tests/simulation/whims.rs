//! What people do in a call, by chance.

use crate::client::Client;
use crate::network::Weather;
use crate::sdp::Use;
use crate::world::{ALL, World};
use kaiwa_sfu::control::{
    Connectivity, Hears, LimitedBy, Mute, ParticipantId, Prefer, Rights, Source, Wish,
};
use kaiwa_sfu::unit::{MediaKind, Ssrc};
use kaiwa_sfu::wire::demux::Kind;

/// People at once.
const PEOPLE: usize = 4;

/// So long ago the last packet may be of what comes.
const HEARD_MS: u64 = 700;

/// A screen is asked for a key frame once a second at most.
const KEYFRAME_MS: u64 = 1_200;

/// Sizes at which pictures are shown.
const SIZES: [(u16, u16); 3] = [(160, 90), (320, 180), (1_280, 720)];

/// Somebody new, with some of what there is.
pub(crate) fn newcomer(world: &mut World) -> ParticipantId {
    let no = u32::try_from(world.next_person).unwrap() * 10_000;
    let mut lines = Vec::new();
    if world.random.permille(800) {
        lines.push(Use::Send(Source::Microphone, Ssrc(no + 1_000), 1));
    }
    if world.random.permille(700) {
        let layers = if world.random.permille(700) { 3 } else { 1 };
        lines.push(Use::Send(Source::Camera, Ssrc(no + 2_000), layers));
    }
    for _ in 0..3 {
        lines.push(Use::Receive(MediaKind::Audio));
    }
    for _ in 0..1 + world.random.below(3) {
        lines.push(Use::Receive(MediaKind::Video));
    }
    let rights = if world.random.permille(100) {
        Rights {
            camera: false,
            ..ALL
        }
    } else {
        ALL
    };
    world.enter(rights, lines)
}

/// One shows a picture, and so many want to see it as it is.
pub(crate) fn audience(world: &mut World, people: usize) {
    let ssrc = Ssrc(u32::try_from(world.next_person).unwrap() * 10_000 + 2_000);
    world.enter(ALL, vec![Use::Send(Source::Camera, ssrc, 3)]);
    let (width, height) = SIZES[2];
    let wish_for = Wish {
        publication: world.sources_of(MediaKind::Video)[0].2,
        width,
        height,
        is_paused: false,
    };
    for _ in 0..people {
        let lines = [MediaKind::Audio, MediaKind::Video].map(Use::Receive);
        let id = world.enter(ALL, lines.to_vec());
        wish(world, id, vec![wish_for]);
    }
}

/// Something happens.
pub(crate) fn whim(world: &mut World) {
    if world.is_quiet {
        return;
    }
    let pause = 50 + world.random.below(350);
    world.push_whim(pause);
    let present = world.present();
    let Some(id) = pick(world, &present) else {
        newcomer(world);
        return;
    };
    let what = world.random.below(18);
    world.trace(format_args!("whim {what} of {id}"));
    match what {
        0 | 1 if present.len() < PEOPLE => {
            newcomer(world);
        }
        2 => world.leave(id),
        3 | 4 => mute(world),
        5..=8 => prefer(world, id),
        9 => more_lines(world, id),
        10 => fewer_lines(world, id),
        11 => {
            client(world, id).restart_ice();
            world.offer(id);
        }
        12 => {
            let ms = world.ms();
            client(world, id).move_away(ms);
        }
        13 => {
            let until = world.ms() + 200 + world.random.below(3_000);
            client(world, id).silent_until_ms = until;
        }
        14 => {
            let weather = (world.weather)(&mut world.random);
            client(world, id).down.weather = weather;
            client(world, id).up.weather = (world.weather)(&mut world.random);
        }
        15 => attack(world, id),
        16 => layers(world, id),
        _ => {
            client(world, id).wants_pli = true;
            rights(world, id);
        }
    }
}

fn pick(world: &mut World, of: &[ParticipantId]) -> Option<ParticipantId> {
    let len = u64::try_from(of.len()).unwrap();
    (len > 0).then(|| of[usize::try_from(world.random.below(len)).unwrap()])
}

fn client(world: &mut World, id: ParticipantId) -> &mut Client {
    &mut world.people.get_mut(&id).unwrap().client
}

fn mute(world: &mut World) {
    let mut all = world.sources_of(MediaKind::Audio);
    all.extend(world.sources_of(MediaKind::Video));
    if all.is_empty() {
        return;
    }
    let at = usize::try_from(world.random.below(all.len() as u64)).unwrap();
    let (_, participant, publication) = all[at];
    let is_muted = world.random.permille(600);
    set_muted(world, participant, publication, is_muted);
}

pub(crate) fn set_muted(
    world: &mut World,
    participant: ParticipantId,
    publication: kaiwa_sfu::control::PublicationId,
    is_muted: bool,
) {
    let mute = Mute {
        participant,
        publication,
        is_muted,
    };
    let now = world.now();
    world.shard.handle_mute(now, mute).expect("theirs");
    world.settle();
}

fn prefer(world: &mut World, id: ParticipantId) {
    let mut wishes = Vec::new();
    for (_, owner, publication) in world.sources_of(MediaKind::Video) {
        if owner == id || !world.random.permille(800) {
            continue;
        }
        let (width, height) = SIZES[usize::try_from(world.random.below(3)).unwrap()];
        wishes.push(Wish {
            publication,
            width,
            height,
            is_paused: world.random.permille(150),
        });
    }
    wish(world, id, wishes);
}

pub(crate) fn wish(world: &mut World, id: ParticipantId, wishes: Vec<Wish>) {
    let prefer = Prefer {
        participant: id,
        wishes,
        hears: Hears::Everybody,
    };
    let now = world.now();
    world.shard.handle_prefer(now, &prefer).expect("present");
    world.settle();
}

fn more_lines(world: &mut World, id: ParticipantId) {
    let ssrc = Ssrc(u32::try_from(id.0 * 10_000).unwrap() + 3_000);
    let adds_screen = world.random.permille(500);
    let lines = &mut client(world, id).lines;
    if lines.len() >= 12 {
        return;
    }
    let has_screen = lines
        .iter()
        .any(|line| matches!(line, Use::Send(Source::Screen, ..)));
    if adds_screen && !has_screen {
        lines.push(Use::Send(Source::Screen, ssrc, 1));
    } else {
        lines.push(Use::Receive(MediaKind::Video));
    }
    world.offer(id);
}

fn fewer_lines(world: &mut World, id: ParticipantId) {
    let lines = client(world, id).lines.len() as u64;
    let at = usize::try_from(world.random.below(lines.max(1))).unwrap();
    let client = client(world, id);
    let Some(line) = client.lines.get_mut(at) else {
        return;
    };
    match *line {
        // What has ended does not come again on the line.
        Use::Send(..) => {}
        Use::Receive(kind) => *line = Use::Inactive(kind),
        Use::Inactive(kind) => *line = Use::Receive(kind),
    }
    world.offer(id);
}

/// Datagrams from nobody, changed ones, and old ones.
fn attack(world: &mut World, id: ParticipantId) {
    let address = client(world, id).address;
    let overheard: Vec<Vec<u8>> = world.people[&id].overheard.iter().cloned().collect();
    let has_keys = world.people[&id].connectivity.is_some();
    for mut bytes in overheard {
        // Before there are keys, who can write with the peer's address can spoil the handshake.
        if Kind::of(&bytes) == Some(Kind::Dtls) && !has_keys {
            continue;
        }
        let mut again = bytes.clone();
        let stranger = std::net::SocketAddr::from(([10, 9, 9, 9], 9));
        if Kind::of(&bytes) != Some(Kind::Stun) {
            world.give(stranger, &mut again.clone());
        }
        world.give(address, &mut again);
        let at = usize::try_from(world.random.below(bytes.len() as u64)).unwrap();
        bytes[at] ^= 1 << world.random.below(8);
        world.give(address, &mut bytes.clone());
        bytes.truncate(at);
        world.give(address, &mut bytes);
    }
    for _ in 0..10 {
        let len = world.random.below(60);
        let mut bytes: Vec<u8> = (0..len).map(|_| world.random.small(255)).collect();
        if let Some(first) = bytes.first_mut() {
            *first = [0x80, 0, 22][usize::try_from(world.random.below(3)).unwrap()];
        }
        world.give(address, &mut bytes);
    }
}

fn layers(world: &mut World, id: ParticipantId) {
    let is_alive = world.random.permille(500);
    let which = usize::try_from(world.random.below(3)).unwrap();
    for source in &mut client(world, id).sources {
        if source.layers.len() > 1 {
            source.layers[which].encoding.is_alive = is_alive;
        }
    }
}

fn rights(world: &mut World, id: ParticipantId) {
    if world.random.permille(700) {
        return;
    }
    let rights = match world.random.below(4) {
        0 => Rights {
            camera: false,
            ..ALL
        },
        1 => Rights {
            subscribe: false,
            ..ALL
        },
        _ => ALL,
    };
    world.set_rights(id, rights);
}

/// The network is fine, and everybody wants to see and hear everybody.
pub(crate) fn calm_down(world: &mut World) {
    world.is_quiet = true;
    let kinds = [MediaKind::Audio, MediaKind::Video];
    for (_, owner, publication) in kinds.map(|kind| world.sources_of(kind)).concat() {
        set_muted(world, owner, publication, false);
    }
    for id in world.present() {
        let client = client(world, id);
        client.silent_until_ms = 0;
        client.up.weather = Weather::FINE;
        client.down.weather = Weather::FINE;
        for layer in client
            .sources
            .iter_mut()
            .flat_map(|source| &mut source.layers)
        {
            layer.encoding.is_alive = true;
        }
        for line in &mut client.lines {
            if let Use::Inactive(kind) = *line {
                *line = Use::Receive(kind);
            }
        }
        let rights = Rights {
            subscribe: true,
            ..client.rights
        };
        world.set_rights(id, rights);
        world.offer(id);
    }
    for id in world.present() {
        let theirs = world.sources_of(MediaKind::Video).into_iter();
        let wishes = theirs
            .filter(|(_, owner, _)| *owner != id)
            .map(|(_, _, publication)| Wish {
                publication,
                width: 160,
                height: 90,
                is_paused: false,
            });
        let wishes = wishes.collect();
        wish(world, id, wishes);
    }
}

/// How well everybody has to be in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Well {
    /// What is in a slot comes, unless it is said to be too much for the path.
    Limited,
    /// All slots are in use and all comes.
    Whole,
}

/// In the end everybody has what is in their slots, and there is something in them.
pub(crate) fn check_reached(world: &World, well: Well) {
    let ms = world.ms();
    for id in world.present() {
        let person = &world.people[&id];
        let is_connected = person.connectivity == Some(Connectivity::Connected);
        assert!(
            is_connected,
            "{id} is not connected: {:?}",
            person.connectivity
        );
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let sources = world.sources_of(kind);
            let others: Vec<_> = sources
                .iter()
                .filter(|(_, owner, _)| *owner != id)
                .collect();
            let mut reached = 0;
            for (tag, owner, publication) in &others {
                let slot = person
                    .slots
                    .iter()
                    .find(|slot| slot.publication == Some(*publication));
                let Some(slot) = slot else { continue };
                let heard = person.client.heard_ms.get(tag).copied();
                let is_heard = heard.is_some_and(|at| at + HEARD_MS >= ms);
                let is_narrow = slot.limited_by == Some(LimitedBy::Bandwidth);
                // A key frame may have been asked for a moment ago.
                let awaits = slot.layer.is_none() && person.slots_ms + KEYFRAME_MS > ms;
                let is_excused = well == Well::Limited && (is_narrow || awaits);
                assert!(
                    is_heard || is_excused,
                    "{id} has {tag} of {owner} in {slot:?}, and heard at {heard:?} of {ms}: {:?}",
                    world.shard.flow(id)
                );
                reached += 1;
            }
            let slots = person.client.slots(kind);
            assert!(
                reached >= slots.min(others.len()),
                "{id} has {reached} in {slots}"
            );
        }
    }
}
