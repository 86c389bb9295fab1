//! Stored events: whatever the bytes, no panic; whatever the event, the same one back.

use super::stored;
use crate::model::{
    ClipKind, ClipShown, ClipView, Event, EventBody, Membership, Mentions, Role, RoomKind, User,
    Visibility,
};
use kaiwa_common::id::{Cid, ClipId, RoomId, UserId};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_proto::client::v1 as proto;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = Option<Redacted<String>>> {
    prop_oneof![
        Just(None),
        "[^\0]{1,300}".prop_map(|text| Some(Redacted(text)))
    ]
}

fn seq() -> impl Strategy<Value = Seq> {
    (1..u64::MAX).prop_map(Seq)
}

fn user() -> impl Strategy<Value = User> {
    ("[A-Za-z0-9._@:|-]{1,64}", ".{0,20}").prop_map(|(id, name)| User {
        id: UserId::parse(&id).expect("of the right characters"),
        name: Redacted(name),
    })
}

fn clip() -> impl Strategy<Value = Box<ClipView>> {
    let kind = prop::sample::select(vec![ClipKind::Video, ClipKind::Audio, ClipKind::Image]);
    let state = prop::sample::select(vec![
        ClipShown::Uploading,
        ClipShown::Processing,
        ClipShown::Ready,
        ClipShown::Failed,
    ]);
    // Titles around the lengths at which a text's own length takes one byte more.
    let title = prop_oneof!["[^\0]{0,60}", "[a-z]{100,140}"];
    let numbers = (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
    let small = (0..200_u64, 0..200_u64, 0..2_u32, 0..2_u32);
    let numbers = prop_oneof![numbers, small];
    (any::<u128>(), kind, state, title, numbers).prop_map(|(id, kind, state, title, numbers)| {
        let (version, duration_ms, width, height) = numbers;
        let id = uuid::Builder::from_u128(id).with_version(uuid::Version::SortRand);
        let id = id.with_variant(uuid::Variant::RFC4122).into_uuid();
        Box::new(ClipView {
            clip: ClipId(id),
            version,
            kind,
            state,
            title: Redacted(title),
            duration_ms,
            width,
            height,
        })
    })
}

fn mentions() -> impl Strategy<Value = Mentions> {
    (
        prop::collection::btree_set("[A-Za-z0-9._@:|-]{1,64}", 0..4),
        any::<bool>(),
    )
        .prop_map(|(users, all)| Mentions {
            users: users
                .iter()
                .map(|id| UserId::parse(id).expect("of the right characters"))
                .collect(),
            all,
        })
}

fn body() -> impl Strategy<Value = EventBody> {
    use Membership::{Invited, Joined, Left};
    use Role::{Guest, Member, Moderator, Owner};
    let kind = prop::sample::select(vec![RoomKind::Direct, RoomKind::Group, RoomKind::Broadcast]);
    let visibility = prop::sample::select(vec![Visibility::Private, Visibility::Public]);
    let membership = prop::sample::select(vec![Invited, Joined, Left]);
    let role = prop::sample::select(vec![Guest, Member, Moderator, Owner]);
    prop_oneof![
        (
            text(),
            prop::option::of(seq()),
            mentions(),
            prop::option::of(clip())
        )
            .prop_map(|(text, reply_to, mentions, clip)| {
                let is_there = text.is_some();
                EventBody::Posted {
                    mentions: if is_there {
                        mentions
                    } else {
                        Mentions::default()
                    },
                    clip: clip.filter(|_| is_there),
                    text,
                    reply_to,
                }
            }),
        (seq(), prop::option::of(clip()))
            .prop_map(|(target, clip)| EventBody::ClipChanged { target, clip }),
        (seq(), text(), mentions()).prop_map(|(target, text, mentions)| {
            let mentions = if text.is_some() {
                mentions
            } else {
                Mentions::default()
            };
            EventBody::Edited {
                target,
                text,
                mentions,
            }
        }),
        seq().prop_map(|target| EventBody::Deleted { target }),
        (user(), membership, role).prop_map(|(user, membership, role)| EventBody::Member {
            user,
            membership,
            role
        }),
        (kind, ".{0,30}", visibility).prop_map(|(kind, title, visibility)| EventBody::Created {
            kind,
            title,
            visibility
        }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let cid = prop::option::of(any::<[u8; 16]>().prop_map(|mut bytes| {
        bytes[6] = 0x70 | bytes[6] & 0x0f;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        Cid::from_bytes(bytes)
    }));
    (seq(), 1..u32::MAX, any::<i64>(), user(), cid, body()).prop_map(
        |(seq, epoch, time, sender, cid, body)| Event {
            room: RoomId::parse("r_1").expect("a room id"),
            position: Position {
                epoch: Epoch(epoch),
                seq,
            },
            time: UnixMs(time),
            sender: sender.id,
            cid,
            body,
        },
    )
}

proptest! {
    #[test]
    fn an_event_comes_back_from_its_bytes_as_it_was(event in event()) {
        let bytes = stored::encode(&event);
        prop_assert_eq!(stored::decode(&event.room, event.position, &bytes), Ok(event.clone()));
        let wire = proto::Event::from(&event);
        prop_assert_eq!(Event::try_from(wire), Ok(event));
    }

    #[test]
    fn an_erased_event_has_the_same_length_and_no_text(event in event()) {
        let bytes = stored::encode(&event);
        let erased = stored::erase(&bytes).expect("it was encoded");
        prop_assert_eq!(erased.len(), bytes.len());
        let shown = stored::decode(&event.room, event.position, &erased);
        let clip = match &event.body {
            EventBody::Posted { clip, .. } | EventBody::ClipChanged { clip, .. } => clip.as_ref(),
            EventBody::Edited { .. }
            | EventBody::Deleted { .. }
            | EventBody::Member { .. }
            | EventBody::Created { .. } => None,
        };
        if let Some(clip) = clip {
            let is_there = |said: &[u8]| erased.windows(said.len()).any(|part| part == said);
            let (id, title) = (clip.clip.to_string(), clip.title.0.as_bytes());
            prop_assert!(event.cid.is_some_and(|cid| cid.to_string() == id) || !is_there(id.as_bytes()));
            prop_assert!(title.len() <= 8 || !is_there(title));
            prop_assert_eq!(&shown, &Ok(crate::core::projection::erased(event.clone())));
        }
        let (EventBody::Posted { text, .. } | EventBody::Edited { text, .. }) = &event.body else {
            return Ok(());
        };
        let (EventBody::Posted { mentions, .. } | EventBody::Edited { mentions, .. }) = &event.body
        else {
            return Ok(());
        };
        for user in mentions.users.iter().filter(|user| user.as_str().len() > 8) {
            let name = user.as_str().as_bytes();
            let there = erased.windows(name.len()).any(|part| part == name);
            prop_assert!(!there || *user == event.sender);
        }
        if let Some(text) = text.as_ref().filter(|text| text.0.len() > 8) {
            let there = erased.windows(text.0.len()).any(|part| part == text.0.as_bytes());
            prop_assert!(!there);
        }
        prop_assert_eq!(shown, Ok(crate::core::projection::erased(event)));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let room = RoomId::parse("r_1").expect("a room id");
        let position = Position { epoch: Epoch(1), seq: Seq(1) };
        let _ = stored::decode(&room, position, &bytes);
        let _ = stored::erase(&bytes);
    }

    #[test]
    fn no_change_of_a_byte_makes_it_panic(
        event in event(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = stored::encode(&event);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let _ = stored::decode(&event.room, event.position, &bytes);
        let _ = stored::erase(&bytes);
    }
}
