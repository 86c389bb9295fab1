//! Whether one recipient is told of an event, and on which devices.
//!
//! The rules in their order: the event has not expired → it is not their own doing → server → muted
//! altogether → room muted, level → quiet hours of each device → read or delivered since → digest.
//! What overrides what:
//!
//! | | muted altogether | level: nothing | level: mentions | room muted until | quiet hours |
//! |---|---|---|---|---|---|
//! | message | stops | stops | stops | stops | waits |
//! | mention | stops | stops | passes | passes, if `mentions_override` | passes, if they let mentions; else waits |
//! | call | rings, if `calls_override` | stops | passes | rings, if `calls_override` | rings, if `calls_override` or they let calls; else stops |
//! | clip | stops | stops | passes one's own | stops | waits |
//! | call over, read | these take away what a device may show: only the server's rule stops them | | | | |
//!
//! The level is the room's; where it has none, and where there is no room, the person's.
//! What waits is asked anew when the wait is over; it is dropped at once if it would not live so long.

use super::decision::{Decision, DeviceDecision, Reason, Rule, Ruling, Step, Verdict};
use super::digest::{DigestRule, Gather, Recent};
use super::policy::{self, Policy};
use super::quiet::Lets;
use super::settings::{Device, Level, PersonSettings, RoomSettings, ServerRules};
use crate::event::{Event, Job};
use crate::model::{Badge, Channel, Class, DeviceId};
use kaiwa_common::id::UserId;
use kaiwa_common::time::UnixMs;

/// How far a person is with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Seen {
    /// No device has shown it.
    #[default]
    No,
    /// A session has acknowledged it.
    Delivered,
    /// They have read it.
    Read,
}

/// What is known of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Who.
    pub user: UserId,
    /// Their settings.
    pub settings: PersonSettings,
    /// Those for the event's room.
    pub room: RoomSettings,
    /// Their devices.
    pub devices: Vec<Device>,
    /// What they were told of the room lately.
    pub recent: Option<Recent>,
    /// Devices that may show what a silent event takes away.
    pub shown: Vec<DeviceId>,
    /// How far they are with the message.
    pub seen: Seen,
    /// What the icon should show.
    pub badge: Option<Badge>,
}

/// The rest of the question.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What happened.
    pub event: &'a Event,
    /// The server's rules.
    pub rules: &'a ServerRules,
    /// When a room counts as busy.
    pub digest: DigestRule,
    /// Set when a wait is over: only these devices, and the digest is not asked again.
    pub released: Option<&'a [DeviceId]>,
    /// Now.
    pub now: UnixMs,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The decision.
    pub decision: Decision,
    /// What they have been told of the room with it, if that changed.
    pub recent: Option<Recent>,
}

/// Decides for one recipient.
#[must_use]
pub fn decide(question: Question<'_>, recipient: &Recipient) -> Answer {
    let class = question.event.class_for(&recipient.user);
    let mut asking = Asking {
        question,
        recipient,
        class,
        policy: policy::policy(class),
        expires: policy::expires(question.event, class),
    };
    let (steps, suppressed) = asking.person();
    let mut decision = Decision {
        class,
        steps,
        suppressed,
        devices: Vec::new(),
    };
    if suppressed.is_some() {
        return Answer {
            decision,
            recent: None,
        };
    }
    decision.devices = asking.devices();
    if decision.devices.is_empty() {
        let reason = if asking.policy.is_silent {
            Reason::NothingShown
        } else {
            Reason::NoDevice
        };
        decision.steps.push(step(Rule::Devices, Ruling::Stops));
        decision.suppressed = Some(reason);
    }
    let recent = asking.gather(&mut decision.devices);
    Answer { decision, recent }
}

/// What goes to the queues of the channels: a job for each that has a device to push to.
#[must_use]
pub fn jobs(
    question: Question<'_>,
    recipient: &Recipient,
    decision: &Decision,
    count: u32,
) -> Vec<Job> {
    let policy = policy::policy(decision.class);
    let on = |channel: Channel| -> Vec<DeviceId> {
        let pushed = decision.devices.iter();
        let pushed = pushed.filter(|d| d.verdict == Verdict::Push && d.channel == channel);
        pushed.map(|d| d.device).collect()
    };
    let job = |channel: Channel| {
        let devices = on(channel);
        (!devices.is_empty()).then(|| Job {
            event: question.event.only_for(Some(&recipient.user)),
            expires: policy::expires(question.event, decision.class),
            user: Some(recipient.user.clone()),
            channel,
            devices,
            urgency: policy.urgency,
            collapse: policy::collapse(question.event, decision.class),
            is_silent: policy.is_silent,
            badge: recipient.badge.filter(|_| recipient.settings.has_badge),
            is_wake_only: question.rules.is_wake_only || recipient.settings.is_wake_only,
            count: count.max(1),
        })
    };
    Channel::ALL.into_iter().filter_map(job).collect()
}

struct Asking<'a> {
    question: Question<'a>,
    recipient: &'a Recipient,
    class: Class,
    policy: Policy,
    expires: UnixMs,
}

fn step(rule: Rule, ruling: Ruling) -> Step {
    Step { rule, ruling }
}

impl Asking<'_> {
    /// The rules that are the same for all devices.
    fn person(&self) -> (Vec<Step>, Option<Reason>) {
        let rules = [
            (Rule::Expiry, self.expiry(), Reason::Expired),
            (Rule::Author, self.author(), Reason::Author),
            (Rule::Server, self.server(), Reason::Server),
            (Rule::Person, self.muted(), Reason::Muted),
            (Rule::RoomMute, self.room_mute(), Reason::RoomMuted),
            (Rule::RoomLevel, self.room_level(), Reason::RoomLevel),
        ];
        let mut steps = Vec::with_capacity(rules.len());
        for (rule, ruling, reason) in rules {
            steps.push(step(rule, ruling));
            if ruling == Ruling::Stops {
                return (steps, Some(reason));
            }
        }
        (steps, None)
    }

    fn expiry(&self) -> Ruling {
        Ruling::stops_if(self.question.now >= self.expires)
    }

    fn author(&self) -> Ruling {
        Ruling::stops_if(self.question.event.author() == Some(&self.recipient.user))
    }

    fn server(&self) -> Ruling {
        Ruling::stops_if(self.question.rules.off.contains(&self.class))
    }

    fn muted(&self) -> Ruling {
        let settings = self.recipient.settings;
        if self.policy.is_silent || !settings.muted.holds(self.question.now) {
            return Ruling::Passes;
        }
        Ruling::stops_unless(self.class == Class::Call && settings.calls_override)
    }

    fn room_mute(&self) -> Ruling {
        if self.policy.is_silent || !self.recipient.room.muted.holds(self.question.now) {
            return Ruling::Passes;
        }
        let settings = self.recipient.settings;
        Ruling::stops_unless(match self.class {
            Class::Mention => settings.mentions_override,
            Class::Call => settings.calls_override,
            Class::Message | Class::CallOver | Class::Read | Class::Clip | Class::Notice => false,
        })
    }

    fn room_level(&self) -> Ruling {
        if self.policy.is_silent {
            return Ruling::Passes;
        }
        let level = self.recipient.room.level;
        match (level.unwrap_or(self.recipient.settings.level), self.class) {
            (Level::All, _) => Ruling::Passes,
            (Level::Nothing, _) | (Level::Mentions, Class::Message) => Ruling::Stops,
            (Level::Mentions, Class::Clip) => {
                Ruling::stops_unless(self.question.event.is_own_clip(&self.recipient.user))
            }
            (Level::Mentions, _) => Ruling::Passes,
        }
    }

    /// What each device gets, but for the digest.
    fn devices(&mut self) -> Vec<DeviceDecision> {
        let is_asked = |device: &&Device| {
            let of_release = |ids: &[DeviceId]| ids.contains(&device.id);
            let is_released = self.question.released.is_none_or(of_release);
            let can_take_away = !self.policy.is_silent || self.recipient.shown.contains(&device.id);
            is_released && can_take_away
        };
        let asked = self.recipient.devices.iter().filter(is_asked);
        asked.map(|device| self.device(device)).collect()
    }

    fn device(&self, device: &Device) -> DeviceDecision {
        let mut steps = Vec::with_capacity(4);
        let verdict = self.verdict(device, &mut steps);
        DeviceDecision {
            device: device.id,
            channel: device.channel(),
            steps,
            verdict,
        }
    }

    fn verdict(&self, device: &Device, steps: &mut Vec<Step>) -> Verdict {
        if let Some(reason) = self.unfit(device) {
            steps.push(step(Rule::Device, Ruling::Stops));
            return Verdict::Suppressed(reason);
        }
        steps.push(step(Rule::Device, Ruling::Passes));
        if self.policy.is_silent {
            return Verdict::Push;
        }
        let quiet = device.settings.quiet.as_ref();
        let quiet = quiet.and_then(|quiet| Some((quiet.end(self.question.now)?, quiet.lets())));
        match quiet {
            None => steps.push(step(Rule::QuietHours, Ruling::Passes)),
            Some((_, lets)) if self.is_let(lets) => {
                steps.push(step(Rule::QuietHours, Ruling::Overridden));
            }
            Some((until, _)) if self.policy.can_wait && until < self.expires => {
                steps.push(step(Rule::QuietHours, Ruling::Waits));
                return Verdict::Wait { until };
            }
            Some(_) => {
                steps.push(step(Rule::QuietHours, Ruling::Stops));
                return Verdict::Suppressed(Reason::Quiet);
            }
        }
        let seen = match self.recipient.seen {
            Seen::No => None,
            Seen::Delivered => Some(Reason::Delivered),
            Seen::Read => Some(Reason::Read),
        };
        steps.push(step(Rule::Seen, Ruling::stops_if(seen.is_some())));
        seen.map_or(Verdict::Push, Verdict::Suppressed)
    }

    /// It comes through quiet hours that let this through.
    fn is_let(&self, lets: Lets) -> bool {
        match self.class {
            Class::Mention => lets.mentions,
            Class::Call => lets.calls || self.recipient.settings.calls_override,
            Class::Message | Class::CallOver | Class::Read | Class::Clip | Class::Notice => false,
        }
    }

    fn unfit(&self, device: &Device) -> Option<Reason> {
        let quarantined = device.quarantined;
        if !device.settings.is_enabled {
            Some(Reason::Disabled)
        } else if !self.question.rules.channels.contains(&device.channel()) {
            Some(Reason::NoSender)
        } else if quarantined.is_some_and(|until| self.question.now < until) {
            Some(Reason::Quarantined)
        } else {
            None
        }
    }

    /// Asks the digest once for the devices that are left.
    fn gather(&self, devices: &mut [DeviceDecision]) -> Option<Recent> {
        let is_counted = matches!(self.class, Class::Message);
        let mut left = devices.iter_mut().filter(|d| d.verdict == Verdict::Push);
        if !is_counted {
            return None;
        }
        let first = left.next()?;
        let recent = if self.question.released.is_some() {
            // The push that stands for many is the first of the next window.
            let began = self.question.now;
            Gather::Push(Recent { began, pushes: 1 })
        } else {
            self.question
                .digest
                .gather(self.recipient.recent, self.question.now)
        };
        let (ruling, verdict, recent) = match recent {
            Gather::Push(recent) => (Ruling::Passes, Verdict::Push, Some(recent)),
            // Gathered for longer than it lives it would be lost; that is not what a digest is for.
            Gather::Hold(until) if until >= self.expires => {
                (Ruling::Passes, Verdict::Push, self.recipient.recent)
            }
            Gather::Hold(until) => (Ruling::Waits, Verdict::Wait { until }, None),
        };
        for device in std::iter::once(first).chain(left) {
            device.steps.push(step(Rule::Digest, ruling));
            device.verdict = verdict;
        }
        recent
    }
}
