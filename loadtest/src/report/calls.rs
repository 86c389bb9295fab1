//! Calls, for people.

use super::{Section, svg};
use crate::call::host::Kind;
use crate::call::results::{Calls, Case, Joins, Scenario};
use crate::chat::stats::Spread;
use crate::proc::Host;
use std::fmt::Write as _;

impl Section for Calls {
    fn host(&self) -> &Host {
        &self.host
    }

    fn cores(&self) -> &'static str {
        "the server on one core, the load on another"
    }

    fn markdown(&self) -> String {
        let mut text = String::new();
        // A String takes everything.
        let _ = self.put(&mut text);
        text
    }

    fn plots(&self) -> Vec<(&'static str, String)> {
        let mut plots = Vec::new();
        let fanouts: Vec<&Case> = self.of(Scenario::Fanout).collect();
        if !fanouts.is_empty() {
            plots.push(("calls-fanout", bars(&fanouts)));
        }
        let lines: Vec<svg::Line<'_>> = self.cases.iter().filter_map(curve).collect();
        if !lines.is_empty() {
            plots.push((
                "calls-latency",
                svg::distribution("Sent to received", &lines),
            ));
        }
        plots
    }
}

/// A case's latency in its middle round.
fn curve(case: &Case) -> Option<svg::Line<'_>> {
    let round = case.rounds.get(case.rounds.len() / 2)?;
    let (name, server) = (case.scenario.name(), case.server.name());
    let title = format!("{server}, {name}, {}", case.subscribers);
    Some((title, round.latency.curve.as_slice()))
}

fn bars(cases: &[&Case]) -> String {
    let mut sizes: Vec<usize> = cases.iter().map(|case| case.subscribers).collect();
    sizes.dedup();
    let group = |size: usize| {
        let of_size = cases.iter().filter(|case| case.subscribers == size);
        let bar = |case: &&Case| (case.server.name().to_owned(), case.us_per_packet().median);
        (format!("{size} subscribers"), of_size.map(bar).collect())
    };
    let groups: Vec<svg::Group> = sizes.into_iter().map(group).collect();
    svg::bars("CPU per forwarded packet", "µs", &groups)
}

impl Calls {
    fn of(&self, scenario: Scenario) -> impl Iterator<Item = &Case> {
        self.cases
            .iter()
            .filter(move |case| case.scenario == scenario)
    }

    fn put(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "### Calls\n")?;
        writeln!(
            text,
            "`loadtest call all`: participants with a plain UDP socket each (no GRO), or one TCP connection, {} alone. CPU is the running time of the server's threads per packet that arrived, decrypted \
             and for the first time; memory is what the server's grew by, per subscriber. Median (least–most) \
             of rounds that take turns; each ratio is of one round.\n",
            self.profile.name()
        )?;
        if self.of(Scenario::Fanout).next().is_some() {
            self.put_fanout(text)?;
        }
        let others: Vec<&Case> = self
            .cases
            .iter()
            .filter(|case| case.scenario != Scenario::Fanout)
            .collect();
        if !others.is_empty() {
            put_others(text, &others)?;
        }
        self.put_inspector(text)?;
        if let Some(trace) = &self.trace {
            writeln!(text, "The trace: {trace}.\n")?;
        }
        self.put_counts(text)?;
        if let Some(joins) = &self.joins {
            put_joins(text, joins)?;
        }
        Ok(())
    }

    fn put_fanout(&self, text: &mut String) -> std::fmt::Result {
        let load = self
            .of(Scenario::Fanout)
            .next()
            .map_or("", |case| case.load.as_str());
        writeln!(text, "One publisher, {load}:\n")?;
        writeln!(
            text,
            "| subscribers | server | µs/packet | to the floor | KiB/subscriber | packets/s | cores | p50 ms | p99 ms |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|---|---|---|")?;
        for case in self.of(Scenario::Fanout) {
            let n = case.subscribers;
            let floor = self.case(Scenario::Fanout, Kind::Floor, n);
            let ratio = floor
                .filter(|_| case.server != Kind::Floor)
                .map(|floor| case.ratio(floor));
            let name = case.server.name();
            writeln!(
                text,
                "| {n} | {name} | {} | {} | {} |",
                case.us_per_packet(),
                ratio.map_or_else(|| "–".to_owned(), |ratio| ratio.to_string()),
                figures(case),
            )?;
        }
        text.push('\n');
        for case in self
            .of(Scenario::Fanout)
            .filter(|case| case.server == Kind::Janus)
        {
            if let Some(ours) = self.case(Scenario::Fanout, Kind::Kaiwa, case.subscribers) {
                let share = case.ratio(ours);
                let n = case.subscribers;
                writeln!(
                    text,
                    "Janus, with two event loops, uses {share} times Kaiwa's CPU at {n}; the bound is 6.\n"
                )?;
            }
        }
        Ok(())
    }

    fn put_inspector(&self, text: &mut String) -> std::fmt::Result {
        let (on, off) = (Scenario::Inspected, Scenario::Uninspected);
        if let (Some(on), Some(off)) = (self.of(on).next(), self.of(off).next()) {
            let ratio = on.ratio(off);
            writeln!(
                text,
                "The call inspector, on by itself, takes {ratio} times the CPU of a server without it; the bound is 1.02.\n"
            )?;
        }
        Ok(())
    }

    /// What was lost, twice or wrong, in all rounds of each case.
    fn put_counts(&self, text: &mut String) -> std::fmt::Result {
        let cases: Vec<&Case> = self
            .cases
            .iter()
            .filter(|case| !case.rounds.is_empty())
            .collect();
        if cases.is_empty() {
            return Ok(());
        }
        writeln!(
            text,
            "What came, all rounds together; a second opinion is a participant on the ordinary `webrtc` crate:\n"
        )?;
        writeln!(
            text,
            "| load | server | subscribers | packets | missing | twice | corrupt | undecryptable | asked again | frames dropped | freezes | second opinions |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        for case in cases {
            let agreed = case
                .opinions
                .iter()
                .filter(|opinion| opinion.agrees())
                .count();
            let opinions = match case.opinions.len() {
                0 => "–".to_owned(),
                all => format!("{agreed} of {all} agree"),
            };
            writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {opinions} |",
                case.scenario.name(),
                case.server.name(),
                case.subscribers,
                case.sum(|r| r.received.video.unique + r.received.audio.unique),
                case.sum(|r| r.received.video.missing() + r.received.audio.missing()),
                case.sum(|r| r.received.video.duplicates + r.received.audio.duplicates),
                case.sum(|r| r.received.corrupt),
                case.sum(|r| r.received.undecryptable),
                case.sum(|r| r.received.nacked),
                case.sum(|r| r.received.pictures.dropped),
                case.sum(|r| r.received.pictures.freezes),
            )?;
        }
        text.push('\n');
        Ok(())
    }
}

fn put_others(text: &mut String, cases: &[&Case]) -> std::fmt::Result {
    writeln!(
        text,
        "| load | publishers → people | µs/packet | KiB/person | packets/s | cores | p50 ms | p99 ms |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|")?;
    for case in cases {
        writeln!(
            text,
            "| {}: {} | {} → {} | {} | {} |",
            case.scenario.name(),
            case.load,
            case.publishers,
            case.subscribers,
            case.us_per_packet(),
            figures(case),
        )?;
    }
    text.push('\n');
    Ok(())
}

/// The columns that all tables share.
fn figures(case: &Case) -> String {
    if case.rounds.is_empty() {
        return "– | – | – | – | –".to_owned();
    }
    let ms = |us: u64| us as f64 / 1e3;
    let whole = |spread: Spread| {
        format!(
            "{:.0} ({:.0}–{:.0})",
            spread.median, spread.least, spread.most
        )
    };
    format!(
        "{} | {:.0} | {:.2} | {:.1} | {:.1}",
        whole(case.spread(|r| r.kib_per_subscriber)),
        case.spread(|r| r.per_s).median,
        case.spread(|r| r.cores).median,
        case.spread(|r| ms(r.latency.p50_us)).median,
        case.spread(|r| ms(r.latency.p99_us)).median,
    )
}

fn put_joins(text: &mut String, joins: &Joins) -> std::fmt::Result {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    writeln!(text, "| joining | |\n|---|---|")?;
    let pair = |(median, p95): (f64, f64)| format!("{median:.0} / {p95:.0} ms");
    writeln!(
        text,
        "| `call_join` to the first packet, median / p95 of {} | {} |",
        joins.timed,
        pair(joins.first_packet_ms)
    )?;
    writeln!(
        text,
        "| `call_join` to the first picture, median / p95 | {} |",
        pair(joins.first_picture_ms)
    )?;
    if let Some(whip) = joins.whip {
        let (median, p99) = whip.post_ms;
        let row = format!(
            "WHIP, `POST` to 201, median / p99 of {} in one call",
            whip.sessions
        );
        writeln!(text, "| {row} | {median:.1} / {p99:.1} ms |")?;
    }
    writeln!(
        text,
        "| {} joins and leaves | {:.1} s, {:.0} a second |",
        joins.storm,
        joins.storm_s,
        joins.storm as f64 / joins.storm_s.max(1e-9)
    )?;
    writeln!(
        text,
        "| memory before → after | {:.1} → {:.1} MiB |",
        mib(joins.memory.0),
        mib(joins.memory.1)
    )?;
    writeln!(
        text,
        "| threads before → after | {} → {} |",
        joins.threads.0, joins.threads.1
    )?;
    writeln!(
        text,
        "| file descriptors before → after | {} → {} |",
        joins.files.0, joins.files.1
    )?;
    let gauges: Vec<String> = joins
        .gauges
        .iter()
        .map(|(name, before, after)| format!("{name} {before} → {after}"))
        .collect();
    let gauges = if gauges.is_empty() {
        "none".to_owned()
    } else {
        gauges.join(", ")
    };
    writeln!(text, "| gauges that grew | {gauges} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::srtp::Profile;

    fn case(server: Kind, us: [f64; 3]) -> Case {
        let mut case = Case::new(Scenario::Fanout, server, (1, 100), "bursts".to_owned());
        case.us.extend(us);
        case
    }

    #[test]
    fn ratios_are_of_one_round_each() {
        let mut calls = Calls::new(Profile::Gcm);
        calls.cases.push(case(Kind::Kaiwa, [2.0, 3.0, 8.0]));
        calls.cases.push(case(Kind::Floor, [1.0, 2.0, 4.0]));
        calls.cases.push(case(Kind::Janus, [14.0, 30.0, 40.0]));
        let text = calls.markdown();
        assert!(
            text.contains("| 100 | Kaiwa | 3.00 (2.00–8.00) | 2.00 (1.50–2.00) |"),
            "{text}"
        );
        assert!(
            text.contains("uses 7.00 (5.00–10.00) times Kaiwa's CPU at 100"),
            "{text}"
        );
        let plots = calls.plots();
        assert!(plots[0].1.contains("Janus") && plots[0].1.contains("100 subscribers"));
        let json = serde_json::to_string(&calls).unwrap();
        assert!(serde_json::from_str::<Calls>(&json).is_ok());
    }
}
