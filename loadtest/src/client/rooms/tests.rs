use super::*;

fn event(seq: u64) -> Event {
    Event {
        room: "r".into(),
        epoch: 1,
        seq,
        ..Event::default()
    }
}

fn page(seqs: std::ops::RangeInclusive<u64>, head: u64) -> EventPage {
    EventPage {
        room: "r".into(),
        epoch: 1,
        events: seqs.map(event).collect(),
        head,
        ..EventPage::default()
    }
}

fn following(seq: u64) -> Rooms {
    let mut rooms = Rooms::default();
    rooms.follow("r", 1, seq);
    rooms
}

fn read_after(seq: u64) -> Step {
    Step::Read(RoomPosition {
        room: "r".into(),
        epoch: 1,
        seq,
    })
}

fn delivered(steps: &[Step]) -> Vec<u64> {
    let seq = |step: &Step| match step {
        Step::Deliver(event) => Some(event.seq),
        Step::Read(_) | Step::Restart(_) => None,
    };
    steps.iter().filter_map(seq).collect()
}

#[test]
fn events_in_order_are_delivered_and_repeats_ignored() {
    let mut rooms = following(4);
    assert_eq!(delivered(&rooms.handle_event(event(5))), [5]);
    assert!(rooms.handle_event(event(5)).is_empty());
    assert!(rooms.handle_event(event(1)).is_empty());
    assert_eq!(rooms.last("r"), Some((1, 5)));
}

#[test]
fn a_hole_is_read_once_and_what_came_after_it_follows() {
    let mut rooms = following(1);
    assert_eq!(rooms.handle_event(event(4)), [read_after(1)]);
    assert!(
        rooms.handle_event(event(5)).is_empty(),
        "one read at a time"
    );
    assert_eq!(delivered(&rooms.handle_page(page(2..=3, 5))), [2, 3, 4, 5]);
    assert_eq!(rooms.last("r"), Some((1, 5)));
}

#[test]
fn a_page_that_is_not_enough_is_followed_by_another_read() {
    let mut rooms = following(0);
    rooms.handle_event(event(9));
    let steps = rooms.handle_page(page(1..=4, 9));
    assert_eq!(delivered(&steps), [1, 2, 3, 4]);
    assert_eq!(steps.last(), Some(&read_after(4)));
}

#[test]
fn a_gap_and_a_pings_head_are_repaired_like_a_hole() {
    let mut rooms = following(2);
    let gap = Gap {
        room: "r".into(),
        epoch: 1,
        head: 7,
    };
    assert_eq!(rooms.handle_gap(&gap), Some(read_after(2)));
    assert_eq!(
        delivered(&rooms.handle_page(page(3..=7, 7))),
        [3, 4, 5, 6, 7]
    );
    let head = |seq| RoomPosition {
        room: "r".into(),
        epoch: 1,
        seq,
    };
    assert_eq!(rooms.handle_head(&head(7)), None);
    assert_eq!(rooms.handle_head(&head(8)), Some(read_after(7)));
}

#[test]
fn a_lost_read_is_asked_for_again_after_resuming() {
    let mut rooms = following(0);
    assert_eq!(rooms.handle_event(event(3)), [read_after(0)]);
    rooms.handle_lost();
    assert_eq!(rooms.handle_resumed(), [read_after(0)]);
}

#[test]
fn another_epoch_or_a_reset_starts_the_room_anew() {
    let mut rooms = following(3);
    let other = Event {
        epoch: 2,
        ..event(1)
    };
    assert_eq!(rooms.handle_event(other), [Step::Restart("r".into())]);
    assert!(rooms.is_unknown("r"));
    assert!(rooms.handle_start("r", 2, 5).is_empty());
    assert_eq!(rooms.last("r"), Some((2, 5)));
}

#[test]
fn events_before_the_first_position_wait_for_it() {
    let mut rooms = Rooms::default();
    rooms.follow("r", 0, 0);
    assert!(rooms.handle_event(event(6)).is_empty());
    assert_eq!(delivered(&rooms.handle_start("r", 1, 5)), [6]);
}
