//! Quiet hours on clocks that are changed: known dates, and an oracle that walks the wall's clock.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::core::quiet::{InvalidQuietHours, Minute, QuietHours};

fn minute(text: &str) -> Minute {
    let (hours, minutes) = text.split_once(':').expect("a time");
    let (hours, minutes): (u32, u32) = (hours.parse().unwrap(), minutes.parse().unwrap());
    Minute::new(hours * 60 + minutes).expect("a minute of the day")
}

fn at(text: &str) -> UnixMs {
    UnixMs(text.parse::<Timestamp>().expect("a time").as_millisecond())
}

fn end(window: &str, zone: &str, now: &str) -> Option<String> {
    let (from, to) = window.split_once('-').expect("a window");
    let quiet = QuietHours::new(minute(from), minute(to), zone).expect("quiet hours");
    let end = quiet.end(at(now))?;
    Some(Timestamp::from_millisecond(end.0).unwrap().to_string())
}

#[test]
fn windows_end_when_the_wall_says_so_on_days_when_it_is_changed() {
    // window, zone, now, end
    let table = [
        // An ordinary night, over midnight, from both of its days.
        (
            "22:00-07:00",
            "Europe/Berlin",
            "2026-01-10T21:30:00Z",
            Some("2026-01-11T06:00:00Z"),
        ),
        (
            "22:00-07:00",
            "Europe/Berlin",
            "2026-01-11T05:59:59Z",
            Some("2026-01-11T06:00:00Z"),
        ),
        ("22:00-07:00", "Europe/Berlin", "2026-01-11T06:00:00Z", None),
        ("22:00-07:00", "Europe/Berlin", "2026-01-10T20:59:59Z", None),
        // The short night: 02:00 to 03:00 is not there.
        (
            "22:00-07:00",
            "Europe/Berlin",
            "2026-03-28T23:00:00Z",
            Some("2026-03-29T05:00:00Z"),
        ),
        (
            "22:00-02:30",
            "Europe/Berlin",
            "2026-03-29T00:59:00Z",
            Some("2026-03-29T01:00:00Z"),
        ),
        ("22:00-02:30", "Europe/Berlin", "2026-03-29T01:00:00Z", None),
        ("02:30-04:00", "Europe/Berlin", "2026-03-29T00:59:59Z", None),
        (
            "02:30-04:00",
            "Europe/Berlin",
            "2026-03-29T01:00:00Z",
            Some("2026-03-29T02:00:00Z"),
        ),
        ("02:00-03:00", "Europe/Berlin", "2026-03-29T01:00:00Z", None),
        ("02:15-02:45", "Europe/Berlin", "2026-03-29T01:00:00Z", None),
        // The long night: 02:00 to 03:00 is there twice.
        (
            "22:00-07:00",
            "Europe/Berlin",
            "2026-10-24T21:00:00Z",
            Some("2026-10-25T06:00:00Z"),
        ),
        (
            "22:00-02:30",
            "Europe/Berlin",
            "2026-10-25T00:45:00Z",
            Some("2026-10-25T01:30:00Z"),
        ),
        ("22:00-02:30", "Europe/Berlin", "2026-10-25T01:30:00Z", None),
        ("02:30-05:00", "Europe/Berlin", "2026-10-25T00:29:59Z", None),
        (
            "02:30-05:00",
            "Europe/Berlin",
            "2026-10-25T00:30:00Z",
            Some("2026-10-25T04:00:00Z"),
        ),
        (
            "02:30-05:00",
            "Europe/Berlin",
            "2026-10-25T01:15:00Z",
            Some("2026-10-25T04:00:00Z"),
        ),
        // Changes of half an hour (Lord Howe), and of other continents.
        (
            "23:00-01:45",
            "Australia/Lord_Howe",
            "2026-04-04T14:00:00Z",
            Some("2026-04-04T15:15:00Z"),
        ),
        (
            "22:00-02:30",
            "America/New_York",
            "2026-03-08T06:30:00Z",
            Some("2026-03-08T07:00:00Z"),
        ),
        (
            "22:00-07:00",
            "Asia/Kathmandu",
            "2026-06-01T20:00:00Z",
            Some("2026-06-02T01:15:00Z"),
        ),
        // Samoa left 30 December 2011 out: that day has no quiet hours, and the night before ends on the 31st.
        ("09:00-17:00", "Pacific/Apia", "2011-12-30T09:59:00Z", None),
        (
            "22:00-07:00",
            "Pacific/Apia",
            "2011-12-30T09:00:00Z",
            Some("2011-12-30T10:00:00Z"),
        ),
    ];
    for (window, zone, now, expected) in table {
        let found = end(window, zone, now);
        assert_eq!(found.as_deref(), expected, "{window} in {zone} at {now}");
    }
}

#[test]
fn nobody_is_woken_between_from_and_to_by_the_clock_on_the_wall() {
    // Walks minutes around each change: whenever the wall shows a time of the window it is quiet, and
    // whenever it is quiet without that, the hour is one that is there twice.
    for (zone, middle) in [
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("America/St_Johns", "2026-03-08T05:30:00Z"),
        ("Asia/Tokyo", "2026-03-29T01:00:00Z"),
    ] {
        let wall = TimeZone::get(zone).expect("a zone");
        for (from, to) in [
            (1320, 420),
            (90, 150),
            (150, 90),
            (0, 1),
            (1439, 0),
            (125, 175),
        ] {
            let quiet = QuietHours::new(Minute::new(from).unwrap(), Minute::new(to).unwrap(), zone)
                .expect("quiet hours");
            for step in -2_000_i64..2_000 {
                let now = UnixMs(at(middle).0 + step * 60_000);
                let shown = wall.to_datetime(Timestamp::from_millisecond(now.0).unwrap());
                let shown_minute = shown.hour() as u32 * 60 + shown.minute() as u32;
                let is_in_window = if from < to {
                    (from..to).contains(&shown_minute)
                } else {
                    shown_minute >= from || shown_minute < to
                };
                let end = quiet.end(now);
                let is_twice = wall.to_ambiguous_timestamp(shown).is_ambiguous();
                assert!(
                    end.is_some() == is_in_window || is_twice,
                    "{zone} {from} {to} {shown}: {end:?}"
                );
                assert!(end.is_none_or(|end| end > now), "it ends later");
                assert!(end.is_none_or(|end| quiet.end(end).is_none_or(|next| next > end)));
            }
        }
    }
}

#[test]
fn what_is_no_window_or_no_zone_is_refused() {
    let long = "a".repeat(70);
    let new = |from, to, zone: &str| QuietHours::new(minute(from), minute(to), zone);
    assert_eq!(
        new("07:00", "07:00", "Etc/UTC"),
        Err(InvalidQuietHours::Empty)
    );
    for zone in [
        "",
        "Europe/Atlantis",
        "../etc/passwd",
        "UTC+2",
        long.as_str(),
    ] {
        assert_eq!(
            new("22:00", "07:00", zone),
            Err(InvalidQuietHours::Zone),
            "{zone}"
        );
    }
    assert_eq!(Minute::new(1_440), Err(InvalidQuietHours::Minute));
    let quiet = new("22:00", "07:00", "europe/berlin").expect("whatever the case");
    assert_eq!(quiet.zone(), "Europe/Berlin");
}
