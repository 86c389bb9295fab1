//! Calls as a player sees them.

use super::*;
use crate::call::core::effect::{EndReason, Summary};
use kaiwa_chat::model::User;
use kaiwa_common::id::RoomId;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;

const OWN: ParticipantId = ParticipantId(99);

fn entry(participant: u64, publications: &[(u64, Source, bool)]) -> Entry {
    let publication = |(id, source, is_muted): &(u64, Source, bool)| Publication {
        id: PublicationId(*id),
        participant: ParticipantId(participant),
        source: *source,
        is_muted: *is_muted,
        layers: 1,
    };
    Entry {
        participant: ParticipantId(participant),
        user: User {
            id: UserId::parse(&format!("user-{participant}")).expect("an id"),
            name: Redacted(String::new()),
        },
        joined: UnixMs(0),
        publications: publications.iter().map(publication).collect(),
        is_interrupted: false,
    }
}

fn roster(is_full: bool, entries: Vec<Entry>, gone: &[u64]) -> Roster {
    Roster {
        room: RoomId::parse("r_1").expect("an id"),
        summary: Summary {
            version: 1,
            count: 1,
            started: UnixMs(0),
        },
        is_full,
        entries,
        gone: gone
            .iter()
            .map(|id| (ParticipantId(*id), EndReason::Left))
            .collect(),
    }
}

fn shown(wishes: Option<Vec<Wish>>) -> Vec<u64> {
    let wishes = wishes.expect("other wishes than before").into_iter();
    wishes
        .filter(|wish| !wish.is_paused)
        .map(|wish| wish.publication.0)
        .collect()
}

#[test]
fn the_latest_picture_is_shown_then_who_has_the_floor_and_a_screen_before_all() {
    use Source::{Camera, Microphone, Screen};
    let mut viewer = Viewer::new(OWN, Pick::Anybody);
    assert_eq!(viewer.hears(), Hears::Everybody);
    assert_eq!(
        viewer.handle_roster(&roster(true, vec![entry(99, &[(1, Camera, false)])], &[])),
        None,
        "not oneself"
    );
    let first = entry(1, &[(10, Camera, false), (11, Microphone, false)]);
    assert_eq!(
        shown(viewer.handle_roster(&roster(false, vec![first], &[]))),
        [10]
    );
    let second = entry(2, &[(20, Camera, false)]);
    assert_eq!(
        viewer.handle_roster(&roster(false, vec![second], &[])),
        None,
        "who was shown stays"
    );
    assert_eq!(shown(viewer.handle_active(Some(ParticipantId(2)))), [20]);
    assert_eq!(viewer.handle_active(None), None, "through pauses as well");
    assert_eq!(
        viewer.handle_active(Some(ParticipantId(7))),
        None,
        "nobody who has a picture"
    );
    let shares = entry(1, &[(10, Camera, false), (12, Screen, false)]);
    assert_eq!(
        shown(viewer.handle_roster(&roster(false, vec![shares.clone()], &[]))),
        [12]
    );
    assert_eq!(
        viewer.handle_roster(&roster(false, vec![shares], &[])),
        None
    );
    assert_eq!(
        shown(viewer.handle_roster(&roster(false, Vec::new(), &[1]))),
        [20]
    );
    let muted = entry(2, &[(20, Camera, true)]);
    assert!(shown(viewer.handle_roster(&roster(false, vec![muted], &[]))).is_empty());
}

#[test]
fn a_player_that_has_named_somebody_hears_and_sees_them_alone() {
    use Source::{Camera, Microphone};
    let both = |id: u64| {
        entry(
            id,
            &[(id * 10, Camera, false), (id * 10 + 1, Microphone, false)],
        )
    };
    let one = UserId::parse("user-1").expect("an id");
    for pick in [Pick::User(one), Pick::Participant(ParticipantId(1))] {
        let mut viewer = Viewer::new(OWN, pick.clone());
        assert_eq!(viewer.hears(), Hears::Named);
        let call = roster(true, vec![both(2)], &[]);
        assert!(!pick.is_live(&call));
        assert_eq!(viewer.handle_roster(&call), None, "nothing is wanted yet");
        // However many others there are.
        let crowd = (1..200).map(both).collect();
        let call = roster(true, crowd, &[]);
        assert!(pick.is_live(&call));
        assert_eq!(shown(viewer.handle_roster(&call)), [10, 11]);
        assert_eq!(viewer.handle_active(Some(ParticipantId(2))), None);
    }
}
