use super::*;
use crate::core::ring::Choices;
use crate::wire::bits::BitWriter;

/// A structure as libwebrtc makes it: templates are spatial and temporal layer and indications.
struct Made {
    targets: usize,
    templates: Vec<(u8, u8, String)>,
}

impl Made {
    /// All frames of lower layers are needed for higher ones.
    fn full(spatials: u8, temporals: u8) -> Self {
        Self::with(spatials, temporals, true)
    }

    /// As L3T3_KEY: but for key frames a layer rests on itself alone.
    fn key(spatials: u8, temporals: u8) -> Self {
        Self::with(spatials, temporals, false)
    }

    fn with(spatials: u8, temporals: u8, is_nested: bool) -> Self {
        let targets: Vec<(u8, u8)> = (0..spatials)
            .flat_map(|spatial| (0..temporals).map(move |temporal| (spatial, temporal)))
            .collect();
        let indications = |spatial: u8, temporal: u8, is_key: bool| -> String {
            let of = |&(s, t): &(u8, u8)| match () {
                () if s < spatial || t < temporal => '0',
                () if is_key => '2',
                () if s == spatial && temporal > 0 && t == temporal => '1',
                () if s == spatial => '2',
                () if is_nested => '3',
                () => '0',
            };
            targets.iter().map(of).collect()
        };
        let mut templates = Vec::new();
        for spatial in 0..spatials {
            templates.push((spatial, 0, indications(spatial, 0, true)));
            for temporal in 0..temporals {
                templates.push((spatial, temporal, indications(spatial, temporal, false)));
            }
        }
        Self {
            targets: targets.len(),
            templates,
        }
    }

    /// The number of a template.
    fn id(&self, spatial: u8, temporal: u8, is_key: bool) -> u8 {
        let at = self.templates.iter().position(|(s, t, indications)| {
            let all_switch = indications.chars().all(|one| one == '2' || one == '0');
            (*s, *t) == (spatial, temporal) && (!is_key || all_switch)
        });
        let at = at.unwrap() + usize::from(!is_key && temporal == 0);
        u8::try_from(at).unwrap()
    }

    /// A descriptor of a packet that is a whole frame.
    fn descriptor(&self, frame: u16, spatial: u8, temporal: u8, is_key: bool) -> Vec<u8> {
        self.descriptor_of(frame, (spatial, temporal), is_key, None)
    }

    /// The same that says what is made from there on.
    fn descriptor_of(
        &self,
        frame: u16,
        (spatial, temporal): (u8, u8),
        is_key: bool,
        active: Option<u32>,
    ) -> Vec<u8> {
        let mut bytes = [0; 200];
        let mut bits = BitWriter::new(&mut bytes);
        let mut put = |count, value: u32| bits.put(count, value).unwrap();
        put(2, 3);
        put(6, self.id(spatial, temporal, is_key).into());
        put(16, frame.into());
        if is_key && spatial == 0 {
            put(5, if active.is_some() { 0b11000 } else { 0b10000 });
            put(6, 0);
            put(5, u32::try_from(self.targets - 1).unwrap());
            for pair in self.templates.windows(2) {
                let ((s, t, _), (next_s, next_t, _)) = (&pair[0], &pair[1]);
                let idc = match () {
                    () if next_s > s => 2,
                    () if next_t > t => 1,
                    () => 0,
                };
                put(2, idc);
            }
            put(2, 3);
            for (_, _, indications) in &self.templates {
                for one in indications.chars() {
                    put(2, one.to_digit(4).unwrap());
                }
            }
            for _ in &self.templates {
                put(1, 0);
            }
            // No chains: ns(targets + 1) of 0.
            let end = u32::try_from(self.targets + 1).unwrap();
            let width = usize::try_from(u32::BITS - end.leading_zeros()).unwrap();
            put(width - 1, 0);
            put(1, 0);
        } else if active.is_some() {
            put(5, 0b01000);
        }
        if let Some(active) = active {
            put(self.targets, active);
        }
        let len = bits.len();
        bytes[..len].to_vec()
    }
}

fn choice(spatial: u8, temporal: u8) -> Choice {
    Choice { spatial, temporal }
}

fn read(known: &mut Option<Box<Dependencies>>, bytes: &[u8]) -> Option<Described> {
    Dependencies::read(known, bytes, Way::InTime)
}

fn begin(made: &Made) -> Option<Box<Dependencies>> {
    let mut known = None;
    let key = made.descriptor(100, 0, 0, true);
    let described = read(&mut known, &key).unwrap();
    assert!(described.starts_frame && described.keyframe.is_some());
    assert!(Choice::all().all(|choice| described.frame.enters.has(choice)));
    known
}

#[test]
fn each_choice_is_the_highest_decode_target_that_it_covers() {
    let made = Made::full(2, 3);
    let mut known = begin(&made);
    let upper = made.descriptor(101, 1, 2, false);
    let frame = read(&mut known, &upper).unwrap().frame;
    for (of, is_part) in [
        ((1, 2), true),
        ((2, 3), true),
        ((1, 1), false),
        ((0, 2), false),
    ] {
        assert_eq!(frame.part_of.has(choice(of.0, of.1)), is_part, "{of:?}");
    }
    assert!(frame.is_nested && frame.ends_frame);
    assert_eq!(
        (frame.frame, frame.spatial, frame.temporal),
        (Some(101), 1, 2)
    );
}

#[test]
fn a_slow_frame_enters_the_temporal_layers_of_its_own_spatial_layer() {
    let made = Made::full(3, 3);
    let mut known = begin(&made);
    let slow = made.descriptor(101, 1, 0, false);
    let frame = read(&mut known, &slow).unwrap().frame;
    assert!(frame.enters.has(choice(1, 2)) && !frame.enters.has(choice(2, 2)));
    assert!(frame.part_of.has(choice(2, 0)) && !frame.part_of.has(choice(0, 2)));
}

#[test]
fn what_is_told_as_active_is_what_is_sent_whole() {
    let known = begin(&Made::full(3, 3)).unwrap();
    let active = |spatial, temporal| known.active(choice(spatial, temporal)).mask;
    assert_eq!(active(2, 2), 0b111_111_111);
    assert_eq!(active(1, 1), 0b000_011_011);
    assert_eq!(active(0, 0), 0b000_000_001);
    let known = begin(&Made::key(3, 1)).unwrap();
    let active = |spatial| known.active(choice(spatial, 0)).mask;
    assert_eq!([active(0), active(1), active(2)], [1, 2, 4]);
    assert!(!known.is_nested);
}

#[test]
fn what_is_not_made_any_more_is_told_to_nobody() {
    let made = Made::full(3, 1);
    let mut known = begin(&made);
    assert_eq!(known.as_ref().unwrap().highest_spatial(), 2);
    let less = made.descriptor_of(101, (0, 0), false, Some(0b011));
    let frame = read(&mut known, &less).unwrap().frame;
    assert!(frame.part_of.has(choice(2, 0)));
    let there = known.as_ref().unwrap();
    assert_eq!(there.highest_spatial(), 1);
    let active = |known: &Dependencies, spatial| known.active(choice(spatial, 0)).mask;
    assert_eq!([2, 1, 0].map(|spatial| active(there, spatial)), [3, 3, 1]);
    // It holds until something else is said: by what is late only if it is newer.
    let late = made.descriptor_of(99, (0, 0), false, Some(0b001));
    Dependencies::read(&mut known, &late, Way::Late);
    assert_eq!(active(known.as_ref().unwrap(), 2), 3);
    let more = made.descriptor_of(105, (0, 0), false, Some(0b111));
    Dependencies::read(&mut known, &more, Way::Late);
    assert_eq!(active(known.as_ref().unwrap(), 2), 7);
}

#[test]
fn a_choice_that_rests_on_nothing_below_waits_for_a_key_frame() {
    let made = Made::key(3, 1);
    let mut known = begin(&made);
    let less = made.descriptor_of(101, (0, 0), false, Some(0b011));
    read(&mut known, &less).unwrap();
    let middle = made.descriptor(102, 1, 0, false);
    let frame = read(&mut known, &middle).unwrap().frame;
    assert!(frame.part_of.has(choice(1, 0)));
    assert!(
        !frame.part_of.has(choice(2, 0)),
        "its pictures were not sent"
    );
    let key = made.descriptor_of(103, (0, 0), true, Some(0b011));
    assert!(read(&mut known, &key).unwrap().keyframe.is_some());
    let frame = read(&mut known, &made.descriptor(105, 1, 0, false));
    assert!(frame.unwrap().frame.part_of.has(choice(2, 0)));
}

#[test]
fn a_publisher_that_begins_anew_under_lower_numbers_is_followed() {
    let made = Made::full(1, 3);
    let mut known = begin(&made);
    read(&mut known, &made.descriptor(20_000, 0, 0, true)).unwrap();
    let key = read(&mut known, &made.descriptor(7, 0, 0, true)).unwrap();
    assert!(key.keyframe.is_some() && key.frame.part_of.has(choice(0, 0)));
    let next = read(&mut known, &made.descriptor(8, 0, 2, false)).unwrap();
    assert!(next.frame.part_of.has(choice(0, 2)));
}

#[test]
fn what_is_of_a_structure_before_is_part_of_nothing() {
    let made = Made::full(1, 3);
    let mut known = begin(&made);
    let late_key = Made::full(3, 3).descriptor(60, 0, 0, true);
    for late in [made.descriptor(99, 0, 1, false), late_key] {
        let described = Dependencies::read(&mut known, &late, Way::Late).unwrap();
        assert_eq!(described.frame.part_of, Choices::default());
        assert!(described.keyframe.is_none());
    }
    assert!(read(&mut known, &made.descriptor(101, 0, 1, false)).is_some());
    assert!(read(&mut known, &[]).is_none());
    assert!(read(&mut None, &made.descriptor(101, 0, 1, false)).is_none());
}

#[test]
fn what_is_late_of_the_same_structure_is_read_though_a_key_frame_was_faster() {
    let made = Made::full(1, 3);
    let mut known = begin(&made);
    assert!(read(&mut known, &made.descriptor(120, 0, 0, true)).is_some());
    let late = made.descriptor(119, 0, 1, false);
    let described = read(&mut known, &late).unwrap();
    assert!(described.frame.part_of.has(choice(0, 1)));
}

#[test]
fn numbers_wrap_without_end() {
    let made = Made::full(1, 3);
    let mut known = begin(&made);
    for step in 1..40_u16 {
        let frame = 100_u16.wrapping_add(step.wrapping_mul(4_000));
        let described = read(&mut known, &made.descriptor(frame, 0, 0, false));
        assert!(
            described.unwrap().frame.part_of.has(choice(0, 0)),
            "{frame}"
        );
    }
}

#[test]
fn nothing_begins_with_a_structure_that_comes_late() {
    let made = Made::full(1, 3);
    let key = made.descriptor(100, 0, 0, true);
    let mut known = None;
    let described = Dependencies::read(&mut known, &key, Way::Late).unwrap();
    assert!(described.keyframe.is_none() && known.is_some());
    // But with one that was known before.
    let again = made.descriptor(120, 0, 0, true);
    let described = Dependencies::read(&mut known, &again, Way::Late).unwrap();
    assert!(described.keyframe.is_some());
}
