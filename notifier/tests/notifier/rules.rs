//! Every combination of preferences, against an oracle that was written from the table in the documents
//! and shares nothing with the rules.

use super::support::make::{call, call_over, clip, device, event, message, read, user, web};
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::core::decision::{Reason, Rule, Ruling, Verdict};
use kaiwa_notifier::core::digest::{DigestRule, Recent};
use kaiwa_notifier::core::quiet::{Lets, Minute, QuietHours};
use kaiwa_notifier::core::router::{Question, Recipient, Seen, decide, jobs};
use kaiwa_notifier::core::settings::{Level, Mute, PersonSettings, RoomSettings, ServerRules};
use kaiwa_notifier::event::{Event, What};
use kaiwa_notifier::model::{Channel, Class};
use std::sync::LazyLock;
use std::time::Duration;

const NOW: UnixMs = UnixMs(1_795_867_200_000);
/// Quiet hours end then: an hour from now.
const QUIET_END: UnixMs = UnixMs(NOW.0 + 3_600_000);

#[derive(Debug, Clone, Copy)]
struct Case {
    class: Class,
    off: bool,
    muted: Mute,
    room: Mute,
    person_level: Level,
    level: Option<Level>,
    mentions: bool,
    calls: bool,
    enabled: bool,
    /// In quiet hours, which let this through.
    quiet: Option<Lets>,
    /// The event ends in half an hour.
    short: bool,
    seen: Seen,
    busy: bool,
}

/// Of a message that nobody minds.
const CASE: Case = Case {
    class: Class::Message,
    off: false,
    muted: Mute::Off,
    room: Mute::Off,
    person_level: Level::All,
    level: None,
    mentions: true,
    calls: false,
    enabled: true,
    quiet: None,
    short: false,
    seen: Seen::No,
    busy: false,
};

/// Noon in UTC; 11:00 to 13:00.
static QUIET: LazyLock<QuietHours> = LazyLock::new(|| {
    let minute = |m| Minute::new(m).expect("a minute");
    QuietHours::new(minute(11 * 60), minute(13 * 60), "Etc/UTC").expect("quiet hours")
});

fn event_of(case: Case) -> Event {
    let what = match case.class {
        Class::Mention => message(7, &["bob"]),
        Class::Call => call("c"),
        Class::CallOver => call_over("c"),
        Class::Read => read(7),
        Class::Clip => clip("k"),
        Class::Message | Class::Notice => message(7, &[]),
    };
    let mut event = event(1, NOW, &["bob"], what);
    if case.short {
        event.expires = NOW.plus(Duration::from_secs(1_800));
    }
    event
}

fn recipient(case: Case) -> Recipient {
    let mut device = device(1, web("host/1"));
    device.settings.is_enabled = case.enabled;
    device.settings.quiet = case.quiet.map(|lets| QUIET.clone().letting(lets));
    Recipient {
        user: user("bob"),
        settings: PersonSettings {
            muted: case.muted,
            level: case.person_level,
            mentions_override: case.mentions,
            calls_override: case.calls,
            ..PersonSettings::default()
        },
        room: RoomSettings {
            muted: case.room,
            level: case.level,
        },
        shown: vec![device.id],
        devices: vec![device],
        recent: case.busy.then_some(Recent {
            began: NOW,
            pushes: 3,
        }),
        seen: case.seen,
        badge: None,
    }
}

/// The documents' table, read row by row.
fn oracle(case: Case) -> Verdict {
    use Verdict::{Push, Suppressed, Wait};
    let takes_away = [Class::CallOver, Class::Read].contains(&case.class);
    let on = |mute: Mute| match mute {
        Mute::Off => false,
        Mute::Until(end) => end.0 > NOW.0,
        Mute::Forever => true,
    };
    if case.off {
        return Suppressed(Reason::Server);
    }
    if takes_away {
        return if case.enabled {
            Push
        } else {
            Suppressed(Reason::Disabled)
        };
    }
    let is_call_let = case.class == Class::Call && case.calls;
    if on(case.muted) && !is_call_let {
        return Suppressed(Reason::Muted);
    }
    let comes_through_room = (case.class == Class::Mention && case.mentions) || is_call_let;
    if on(case.room) && !comes_through_room {
        return Suppressed(Reason::RoomMuted);
    }
    let level = match case.level {
        Some(of_room) => of_room,
        None => case.person_level,
    };
    let is_wanted = match level {
        Level::All => true,
        // The clip is Alice's, and Bob is asked about.
        Level::Mentions => !matches!(case.class, Class::Message | Class::Clip),
        Level::Nothing => false,
    };
    if !is_wanted {
        return Suppressed(Reason::RoomLevel);
    }
    if !case.enabled {
        return Suppressed(Reason::Disabled);
    }
    let is_spared = match case.quiet {
        None => false,
        Some(lets) => match case.class {
            Class::Call => !case.calls && !lets.calls,
            Class::Mention => !lets.mentions,
            Class::Message | Class::CallOver | Class::Read | Class::Clip | Class::Notice => true,
        },
    };
    if is_spared {
        // A call has rung out, and a short-lived event has ended, before the quiet does.
        return if case.class == Class::Call || case.short {
            Suppressed(Reason::Quiet)
        } else {
            Wait { until: QUIET_END }
        };
    }
    match case.seen {
        Seen::Delivered => return Suppressed(Reason::Delivered),
        Seen::Read => return Suppressed(Reason::Read),
        Seen::No => {}
    }
    if case.busy && case.class == Class::Message {
        return Wait {
            until: UnixMs(NOW.0 + 60_000),
        };
    }
    Push
}

const BOTH: [bool; 2] = [false, true];

fn for_all(mut check: impl FnMut(Case)) -> u32 {
    let mutes = [
        Mute::Off,
        Mute::Until(UnixMs(NOW.0)),
        Mute::Until(UnixMs(NOW.0 + 1)),
        Mute::Forever,
    ];
    let levels = [Level::All, Level::Mentions, Level::Nothing];
    let of_room = std::iter::once(None).chain(levels.map(Some));
    let pairs = of_room.flat_map(|level| levels.map(|person| (person, level)));
    let pairs: Vec<_> = pairs.collect();
    let lets = BOTH.map(|calls| BOTH.map(|mentions| Some(Lets { calls, mentions })));
    let quiets: Vec<_> = std::iter::once(None)
        .chain(lets.into_iter().flatten())
        .collect();
    let classes = [
        Class::Message,
        Class::Mention,
        Class::Call,
        Class::CallOver,
        Class::Read,
        Class::Clip,
    ];
    let seens = [Seen::No, Seen::Delivered, Seen::Read];
    let mut count = 0;
    let mut each = |case: Case, bits: u32| {
        let bit = |n: u32| BOTH[((bits >> n) & 1) as usize];
        check(Case {
            off: bit(0),
            mentions: bit(1),
            calls: bit(2),
            enabled: bit(3),
            short: bit(4),
            busy: bit(5),
            ..case
        });
        count += 1;
    };
    for class in classes {
        for muted in mutes {
            for room in mutes {
                for (person_level, level) in pairs.iter().copied() {
                    for (seen, quiet) in seens
                        .iter()
                        .flat_map(|s| quiets.iter().map(move |q| (*s, *q)))
                    {
                        let case = Case {
                            class,
                            muted,
                            room,
                            person_level,
                            level,
                            seen,
                            quiet,
                            ..CASE
                        };
                        (0..64).for_each(|bits| each(case, bits));
                    }
                }
            }
        }
    }
    count
}

#[test]
fn every_combination_of_preferences_is_decided_as_the_table_says() {
    let count = for_all(|case| {
        let (event, recipient) = (event_of(case), recipient(case));
        let rules = ServerRules {
            off: if case.off {
                vec![case.class]
            } else {
                Vec::new()
            },
            is_wake_only: false,
            channels: vec![Channel::WebPush],
        };
        let question = Question {
            event: &event,
            rules: &rules,
            digest: DigestRule::default(),
            released: None,
            now: NOW,
        };
        let answer = decide(question, &recipient);
        let verdicts: Vec<_> = answer.decision.verdicts().collect();
        assert_eq!(verdicts, [oracle(case)], "{case:?}\n{:#?}", answer.decision);
        let jobs = jobs(question, &recipient, &answer.decision, 1);
        assert_eq!(jobs.len(), usize::from(verdicts[0] == Verdict::Push));
    });
    assert_eq!(count, 6 * 4 * 4 * (3 * 4) * 3 * 5 * 64);
}

#[test]
fn ones_own_clip_is_told_also_who_wants_mentions_alone() {
    let mentions_alone = recipient(Case {
        person_level: Level::Mentions,
        ..CASE
    });
    let rules = ServerRules {
        channels: vec![Channel::WebPush],
        ..ServerRules::default()
    };
    let of = |what: What, name: &str| {
        let event = event(1, NOW, &[name], what);
        let question = Question {
            event: &event,
            rules: &rules,
            digest: DigestRule::default(),
            released: None,
            now: NOW,
        };
        let person = Recipient {
            user: user(name),
            ..mentions_alone.clone()
        };
        decide(question, &person).decision.suppressed
    };
    assert_eq!(of(clip("k"), "bob"), Some(Reason::RoomLevel));
    assert_eq!(of(clip("k"), "alice"), None);
    let What::Clip(mut failed) = clip("k") else {
        panic!("a clip");
    };
    failed.is_ready = false;
    assert_eq!(of(What::Clip(failed), "alice"), None);
}

#[test]
fn devices_are_decided_each_on_its_own_and_a_channel_gets_one_job() {
    let event = event(1, NOW, &["bob"], message(7, &[]));
    let mut bob = recipient(Case {
        quiet: Some(Lets::default()),
        ..CASE
    });
    bob.devices.push(device(2, web("host/2")));
    bob.devices.push(device(3, web("host/3")));
    bob.devices.push(device(4, super::support::make::apns("4")));
    bob.devices.push(device(5, super::support::make::fcm("5")));
    bob.devices[3].quarantined = Some(UnixMs(NOW.0 + 1));
    let rules = ServerRules {
        channels: vec![Channel::WebPush, Channel::Apns],
        ..ServerRules::default()
    };
    let question = Question {
        event: &event,
        rules: &rules,
        digest: DigestRule::default(),
        released: None,
        now: NOW,
    };
    let decision = decide(question, &bob).decision;
    let verdicts: Vec<_> = decision.verdicts().collect();
    let expected = [
        Verdict::Wait { until: QUIET_END },
        Verdict::Push,
        Verdict::Push,
        Verdict::Suppressed(Reason::Quarantined),
        Verdict::Suppressed(Reason::NoSender),
    ];
    assert_eq!(verdicts, expected);
    let jobs = jobs(question, &bob, &decision, 1);
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].devices, [bob.devices[1].id, bob.devices[2].id]);
}

#[test]
fn nobody_is_told_of_what_they_did_and_nobody_after_its_end() {
    let rules = ServerRules {
        channels: vec![Channel::WebPush],
        ..ServerRules::default()
    };
    for (who, at, reason) in [
        ("alice", NOW, Reason::Author),
        ("bob", NOW.plus(Duration::from_secs(45)), Reason::Expired),
    ] {
        let event = event(1, NOW, &[who], call("c"));
        let mut recipient = recipient(Case {
            class: Class::Call,
            ..CASE
        });
        recipient.user = user(who);
        let question = Question {
            event: &event,
            rules: &rules,
            digest: DigestRule::default(),
            released: None,
            now: at,
        };
        assert_eq!(
            decide(question, &recipient).decision.suppressed,
            Some(reason)
        );
    }
}

#[test]
fn what_was_overridden_can_be_seen() {
    let rules = ServerRules {
        channels: vec![Channel::WebPush],
        ..ServerRules::default()
    };
    let case = Case {
        class: Class::Call,
        muted: Mute::Forever,
        room: Mute::Forever,
        calls: true,
        quiet: Some(Lets::default()),
        ..CASE
    };
    let event = event_of(case);
    let question = Question {
        event: &event,
        rules: &rules,
        digest: DigestRule::default(),
        released: None,
        now: NOW,
    };
    let decision = decide(question, &recipient(case)).decision;
    let steps = decision.steps.iter().chain(&decision.devices[0].steps);
    let overridden = steps.filter(|step| step.ruling == Ruling::Overridden);
    let overridden: Vec<_> = overridden.map(|step| step.rule).collect();
    assert_eq!(overridden, [Rule::Person, Rule::RoomMute, Rule::QuietHours]);
}
