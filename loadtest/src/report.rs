//! Results as JSON, as markdown tables between markers, and as plots.

mod calls;
mod clips;
mod notify;
pub mod svg;

use crate::call::results::Calls;
use crate::chat::fanout::{Comparison, Fanout};
use crate::chat::idle::Idle;
use crate::chat::sends::Sends;
use crate::clips::calls::ClipCalls;
use crate::clips::memory::UploadMemory;
use crate::clips::transcode::Transcode;
use crate::clips::upload::Upload;
use crate::notify::delay::Delay;
use crate::notify::programs::{Router, Waiting, WebPush};
use crate::print;
use crate::proc::Host;
use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A result that can be read by people.
pub trait Section: Serialize {
    /// As markdown, from its heading on.
    fn markdown(&self) -> String;

    /// Plots: (file name without ending, SVG).
    fn plots(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Where it was measured.
    fn host(&self) -> &Host;

    /// Who ran where.
    fn cores(&self) -> &'static str {
        "load and server on the same cores"
    }
}

/// Writes `NAME.json` and `NAME.md`, and prints the latter.
///
/// # Errors
/// When the folder can't be written.
pub fn save(out: &Path, name: &str, result: &impl Section) -> Result<()> {
    fs::create_dir_all(out)?;
    fs::write(
        out.join(format!("{name}.json")),
        serde_json::to_string_pretty(result)? + "\n",
    )?;
    let text = result.markdown();
    fs::write(out.join(format!("{name}.md")), &text)?;
    print::line(text);
    Ok(())
}

/// Renders all results of a folder into a file, those of chat, calls, notifications and clips between markers of their own, and plots
/// beside it. What there are no results of stays as it is.
///
/// # Errors
/// When there are no results, or a file can't be read or written.
pub fn render(results: &Path, into: &Path, plots: &Path) -> Result<()> {
    let (mut chat, mut calls) = (String::new(), String::new());
    let (mut notify, mut clips) = (String::new(), String::new());
    fs::create_dir_all(plots)?;
    section::<Idle>(results, "idle", plots, &mut chat)?;
    section::<Fanout>(results, "fanout", plots, &mut chat)?;
    section::<Fanout>(results, "fanout-json", plots, &mut chat)?;
    section::<Sends>(results, "sends", plots, &mut chat)?;
    section::<Calls>(results, "calls", plots, &mut calls)?;
    section::<Router>(results, "notify-router", plots, &mut notify)?;
    section::<WebPush>(results, "notify-web-push", plots, &mut notify)?;
    section::<Delay>(results, "notify-delay", plots, &mut notify)?;
    section::<Waiting>(results, "notify-waiting", plots, &mut notify)?;
    section::<Upload>(results, "clips-upload", plots, &mut clips)?;
    section::<UploadMemory>(results, "clips-memory", plots, &mut clips)?;
    section::<ClipCalls>(results, "clips-calls", plots, &mut clips)?;
    section::<Transcode>(results, "clips-transcode", plots, &mut clips)?;
    let is_empty = chat.is_empty() && calls.is_empty() && notify.is_empty() && clips.is_empty();
    anyhow::ensure!(!is_empty, "no results in {}", results.display());
    let mut page = fs::read_to_string(into).unwrap_or_default();
    for (name, text) in [
        ("chat", chat),
        ("calls", calls),
        ("notify", notify),
        ("clips", clips),
    ] {
        if !text.is_empty() {
            page = between(&page, name, &text);
        }
    }
    fs::write(into, page).with_context(|| into.display().to_string())
}

fn section<S>(results: &Path, name: &str, plots: &Path, text: &mut String) -> Result<()>
where
    S: Section + DeserializeOwned,
{
    let Ok(json) = fs::read_to_string(results.join(format!("{name}.json"))) else {
        return Ok(());
    };
    let result: S = serde_json::from_str(&json).with_context(|| format!("{name}.json"))?;
    if text.is_empty() {
        let Host {
            kernel,
            cpu,
            cores,
            memory,
        } = result.host();
        let gib = memory >> 30;
        writeln!(
            text,
            "Measured on {cpu}, {cores} cores, {gib} GiB, Linux {kernel}; loopback, no TLS, {}.\n",
            result.cores()
        )?;
    }
    text.push_str(&result.markdown());
    let folder = plots.file_name().unwrap_or_default().to_string_lossy();
    for (name, svg) in result.plots() {
        fs::write(plots.join(format!("{name}.svg")), svg)?;
        writeln!(text, "![{name}]({folder}/{name}.svg)\n")?;
    }
    Ok(())
}

/// Puts a text between the markers of a name; without any, at the end with markers.
fn between(old: &str, name: &str, text: &str) -> String {
    let (begin, end) = (
        format!("<!-- bench:{name} -->"),
        format!("<!-- /bench:{name} -->"),
    );
    let block = format!("{begin}\n{}\n{end}", text.trim_end());
    match (old.split_once(&begin), old.split_once(&end)) {
        (Some((before, _)), Some((_, after))) => format!("{before}{block}{after}"),
        _ if old.is_empty() => format!("{block}\n"),
        _ => format!("{}\n\n{block}\n", old.trim_end()),
    }
}

impl Section for Idle {
    fn host(&self) -> &Host {
        &self.host
    }

    fn markdown(&self) -> String {
        let kb = |bytes: f64| bytes / 1000.0;
        let mb = |bytes: u64| bytes as f64 / 1e6;
        format!(
            "### Idle connections\n\n\
             `loadtest chat idle`: {} authenticated WebSocket connections, each following one room, \
             after each was pinged and answered.\n\n\
             | figure | value | bound |\n|---|---|---|\n\
             | resident memory per connection | {:.2} KB | 10 KB |\n\
             | of it anonymous | {:.2} KB | |\n\
             | proportional share per connection | {:.2} KB | |\n\
             | the server before → with all | {:.1} → {:.1} MB | |\n\
             | connections made per second | {:.0} | |\n\
             | CPU per connection made | {:.0} µs | |\n\
             | CPU, all idle, pings included | {:.4} cores | |\n\n",
            self.connections,
            kb(self.rss_per_connection),
            kb(self.anon_per_connection),
            kb(self.pss_per_connection),
            mb(self.before.rss),
            mb(self.after.rss),
            self.connects_per_s,
            self.cpu_us_per_connect,
            self.idle_cpu,
        )
    }
}

impl Section for Fanout {
    fn host(&self) -> &Host {
        &self.host
    }

    fn markdown(&self) -> String {
        let row = |name: &str, c: &Comparison, bound: &str| {
            format!(
                "| {name} | {} | {} | {} | {bound} |\n",
                c.server_us, c.bare_us, c.ratio
            )
        };
        let latency = |name: &str, l: &super::chat::stats::Latency| {
            let ms = |us: u64| us as f64 / 1000.0;
            let [p50, p99, max] = [l.p50_us, l.p99_us, l.max_us].map(ms);
            format!(
                "| {name} | {p50:.1} | {p99:.1} | {max:.1} | {} |\n",
                l.count
            )
        };
        format!(
            "### Fan-out, {}\n\n\
             `loadtest chat fanout`: one room, {} subscribers, 128 B of text; a delivery is {} \
             bytes on the wire, a burst of {} {} bytes. CPU (user + system) in µs per delivered \
             message, median (least–most); each ratio is of one round. The bare loop is a process that \
             writes the same bytes to as many sockets with the same readers. {} deliveries were \
             checked: each once, in order.\n\n\
             | | server | bare loop | ratio | bound |\n|---|---|---|---|---|\n{}{}{}\n\
             | send → receive, ms | p50 | p99 | max | deliveries |\n|---|---|---|---|---|\n{}{}\n",
            self.codec.name(),
            self.subscribers,
            self.wire_bytes.0,
            self.burst,
            self.wire_bytes.1,
            self.deliveries,
            row("one message at a time", &self.single, "1.5"),
            row(
                "bursts, beside one write of a whole burst",
                &self.burst_joined,
                "1.5"
            ),
            row(
                "bursts, beside a write per message",
                &self.burst_separate,
                ""
            ),
            latency("one at a time", &self.latency),
            latency("bursts", &self.burst_latency),
        )
    }

    fn plots(&self) -> Vec<(&'static str, String)> {
        let lines = [
            ("one at a time", &self.latency),
            ("bursts", &self.burst_latency),
        ];
        let lines = lines.map(|(name, l)| (name.to_owned(), l.curve.as_slice()));
        let title = format!("Send to receive, {} subscribers", self.subscribers);
        let name = match self.codec {
            crate::codec::Codec::Proto => "fanout",
            crate::codec::Codec::Json => "fanout-json",
        };
        vec![(name, svg::distribution(&title, &lines))]
    }
}

impl Section for Sends {
    fn host(&self) -> &Host {
        &self.host
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "### Committed sends\n\n\
             `loadtest chat sends`: {} senders, each in a room of its own, {} B of text, every reply \
             after fsync. SQLite alone writes the same rows in batches of the size that the server's \
             commits had. Median (least–most); each ratio is of one round; bound 0.7.\n\n\
             | codec | in flight each | sends/s | SQLite alone/s | ratio | in a commit | p50 ms | \
             p99 ms | CPU µs |\n|---|---|---|---|---|---|---|---|---|\n",
            self.senders, self.text_bytes
        );
        for case in &self.cases {
            let spread = |s: &Option<super::chat::stats::Spread>| {
                s.map_or_else(|| "–".to_owned(), |s| s.to_string())
            };
            let ms = |us: u64| us as f64 / 1000.0;
            // A String takes everything.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {:.2} | {:.2} | {:.0} |",
                case.codec.name(),
                case.window,
                case.per_s,
                spread(&case.floor_per_s),
                spread(&case.ratio),
                case.batch,
                ms(case.latency.p50_us),
                ms(case.latency.p99_us),
                case.cpu_us.median,
            );
        }
        text.push('\n');
        text
    }

    fn plots(&self) -> Vec<(&'static str, String)> {
        let line = |case: &'_ crate::chat::sends::Case| {
            format!("{}, {} in flight", case.codec.name(), case.window)
        };
        let lines: Vec<(String, &[(f64, u64)])> = self
            .cases
            .iter()
            .map(|c| (line(c), c.latency.curve.as_slice()))
            .collect();
        let title = format!("Send to committed, {} senders", self.senders);
        vec![("sends", svg::distribution(&title, &lines))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let page = |chat: &str, calls: &str| {
            format!(
                "# A\n\n<!-- bench:chat -->\n{chat}\n<!-- /bench:chat -->\n\n## B\n\n\
                 <!-- bench:calls -->\n{calls}\n<!-- /bench:calls -->\n"
            )
        };
        let old = page("old", "older");
        let new = between(&old, "chat", "new\n\n");
        assert_eq!(new, page("new", "older"));
        assert_eq!(between(&new, "calls", "newer"), page("new", "newer"));
    }

    #[test]
    fn without_markers_they_are_added_at_the_end() {
        assert_eq!(
            between("# A\n", "chat", "new"),
            "# A\n\n<!-- bench:chat -->\nnew\n<!-- /bench:chat -->\n"
        );
    }
}
