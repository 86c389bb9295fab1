//! The series and events of calls, against docs/metrics.md.

use crate::support::PATIENCE;
use crate::support::http::request;
use crate::support::server::own;
use crate::world::{World, in_call, until_seen, with_media};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

const DOCUMENT: &str = include_str!("../../docs/metrics.md");

/// What the series of calls begin with.
const OF_CALLS: [&str; 4] = [
    "kaiwa_call",
    "kaiwa_sfu_",
    "kaiwa_signaling_call",
    "kaiwa_signaling_whip",
];

/// A series' type and its labels.
type Series = BTreeMap<String, (String, BTreeSet<String>)>;

fn documented() -> Series {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `kaiwa"));
    let series = rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let name = cells.next().unwrap().trim_matches('`').to_owned();
        let kind = cells.next().unwrap().to_owned();
        let labels = cells.next().unwrap().split(", ");
        let labels = labels.map(|label| label.trim_matches('`').to_owned());
        (name, (kind, labels.filter(|l| !l.is_empty()).collect()))
    });
    series.collect()
}

/// The series that the server exports, and the lines of their values.
async fn exported(address: SocketAddr) -> (Series, String) {
    let text = request(address, "GET /metrics", &[], "").await.body;
    let mut series = Series::new();
    for line in text.lines() {
        if let Some(of_type) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of_type.split_once(' ').unwrap();
            series.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, labels)) = line.split_once('{') else {
            continue;
        };
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
            name.strip_suffix(end)
                .filter(|base| series.contains_key(*base))
        });
        let known = series.get_mut(base.unwrap_or(name)).unwrap();
        let labels = labels.split('}').next().unwrap().split(',');
        let names = labels.filter_map(|label| label.split('=').next());
        known
            .1
            .extend(names.filter(|name| *name != "le").map(str::to_owned));
    }
    series.retain(|name, _| OF_CALLS.iter().any(|start| name.starts_with(start)));
    (series, text)
}

/// The value of a line that begins so.
fn value(text: &str, start: &str) -> f64 {
    let lines = text.lines().filter(|line| line.starts_with(start));
    let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum()
}

#[tokio::test]
async fn the_series_of_calls_are_those_of_the_document() {
    let world = World::on(own(with_media)).await;
    let address = world.server().address;
    let mut encoder = world.encoder("encoder").await;
    let mut player = world.player("player", "").await;
    let mut person = in_call(&world, "person").await;
    // A command that is refused.
    let muting =
        json!({"callMute": {"room": world.scene.room, "publication": "t_1", "muted": true}});
    person.call(muting).await;
    let until = Instant::now() + PATIENCE;
    let (exported, text) = loop {
        until_seen(&mut encoder, &mut player);
        let (exported, text) = exported(address).await;
        // These clients report no round trip.
        if value(&text, "kaiwa_call_estimate_kbps_count") > 0.0 || Instant::now() > until {
            break (exported, text);
        }
    };
    let documented = documented();
    let missing: Vec<_> = documented
        .iter()
        .filter(|(name, _)| !exported.contains_key(*name))
        .collect();
    assert!(missing.is_empty(), "documented and not there: {missing:?}");
    for (name, series) in &exported {
        assert_eq!(documented.get(name), Some(series), "{name}");
    }
    for (start, least) in [
        ("kaiwa_calls ", 1.0),
        ("kaiwa_call_participants{way=\"socket\"} ", 1.0),
        ("kaiwa_call_participants{way=\"whip\"} ", 1.0),
        ("kaiwa_call_participants{way=\"whep\"} ", 1.0),
        ("kaiwa_call_joins_total{way=\"whip\",result=\"ok\"} ", 1.0),
        ("kaiwa_call_join_seconds_count ", 2.0),
        ("kaiwa_call_join_seconds_bucket{le=\"+Inf\"} ", 2.0),
        ("kaiwa_call_loss_ratio_count{direction=\"in\"} ", 1.0),
        (
            "kaiwa_call_loss_ratio_bucket{direction=\"out\",le=\"0\"} ",
            1.0,
        ),
        ("kaiwa_call_estimate_kbps_count ", 1.0),
        ("kaiwa_call_rtt_seconds_bucket{le=\"0.8\"} ", 0.0),
        ("kaiwa_sfu_quality{shard=\"0\",quality=\"good\"} ", 2.0),
    ] {
        assert!(value(&text, start) >= least, "{start}: {text}");
    }
}

/// Lines of the log that say so, as their fields.
fn events(log: &str, message: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = lines.filter(|line| line["target"] == "kaiwa::call");
    let fields = ours.map(|line| line["fields"].clone());
    fields
        .filter(|fields| fields["message"] == message)
        .collect()
}

#[tokio::test]
async fn comings_and_goings_are_events_that_programs_read() {
    let server = own(|spec| with_media(spec).with("KAIWA_LOG__FORMAT", "json"));
    let world = World::on(server).await;
    let mut encoder = world.encoder("encoder").await;
    let mut player = world.player("player", "").await;
    until_seen(&mut encoder, &mut player);
    let seen = super::seen(&world, &super::admin(&world)).await;
    let id = super::one(&seen, &world.scene.user("encoder"))["id"].clone();
    assert_eq!(encoder.delete(&world).await.status, 200);
    let until = Instant::now() + PATIENCE;
    let left = loop {
        let left = events(&world.server().logged(), "call.leave");
        if let [left] = left.as_slice() {
            break left.clone();
        }
        assert!(Instant::now() < until, "nobody left: {left:?}");
        // A round trip, in which the server goes on.
        super::seen(&world, &super::admin(&world)).await;
    };
    let log = world.server().logged();
    let joined = events(&log, "call.join");
    assert_eq!(joined.len(), 2, "{joined:?}");
    let ours = joined
        .iter()
        .find(|join| join["participant"] == id)
        .unwrap();
    assert_eq!(
        (&ours["room"], &ours["way"]),
        (&json!(world.scene.room), &json!("whip"))
    );
    let expected = [
        ("participant", id),
        ("room", json!(world.scene.room)),
        ("way", json!("whip")),
        ("reason", json!("left")),
        ("protocol", json!("udp")),
        ("worst_loss_in", json!(0.0)),
        ("freezes", json!(0)),
        ("limited_s", json!(0)),
    ];
    for (field, value) in expected {
        assert_eq!(left[field], value, "{field} of {left}");
    }
    assert!(
        left["connect_ms"].is_u64() && left["seconds"].is_u64(),
        "{left}"
    );
    assert!(
        left.get("worst_rtt_ms").is_none(),
        "it reports none: {left}"
    );
    for line in log.lines().filter(|line| line.contains("kaiwa::call")) {
        let told = [world.scene.user("encoder"), "127.0.0.1".to_owned()];
        assert!(told.iter().all(|text| !line.contains(text)), "{line}");
    }
}
