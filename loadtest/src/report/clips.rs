//! What was measured of clips, for people.

use super::{Section, svg};
use crate::clips::calls::{CallFigures, ClipCalls};
use crate::clips::memory::UploadMemory;
use crate::clips::transcode::Transcode;
use crate::clips::upload::Upload;
use crate::proc::Host;
use std::fmt::Write as _;

impl Section for Upload {
    fn host(&self) -> &Host {
        &self.host
    }

    fn markdown(&self) -> String {
        let row = |name: &str, rate: &crate::chat::stats::Spread, ratio: String, bound: &str| {
            format!("| {name} | {rate} | {ratio} | {bound} |\n")
        };
        format!(
            "### Uploads\n\n\
             `loadtest clips upload`: {} MiB in parts of 8 MiB over {} connections from another process, each part signed with its \
             SHA-256, which the server checks; each is on the disk before its answer. From the registration to the answer that it is \
             complete. Beside it, in the same rounds, one thread that writes the same number of bytes in pieces of 1 MiB into a file and \
             syncs it; that does so and takes their SHA-256; that does so with bytes from a loopback connection. MB/s, median \
             (least–most); each ratio is of one round.\n\n\
             | | MB/s | the upload to it | bound |\n|---|---|---|---|\n{}{}{}{}\n\
             CPU for a GB: the server {} s, the sender {} s.\n\n",
            self.bytes >> 20,
            self.lanes,
            row("upload", &self.upload_mb_s, String::new(), ""),
            row(
                "write and fsync",
                &self.written_mb_s,
                self.to_written.to_string(),
                "0.7"
            ),
            row(
                "… with SHA-256",
                &self.summed_mb_s,
                self.to_summed.to_string(),
                ""
            ),
            row(
                "… from a connection",
                &self.received_mb_s,
                self.to_received.to_string(),
                ""
            ),
            self.server_s_per_gb,
            self.sender_s_per_gb,
        )
    }
}

impl Section for UploadMemory {
    fn host(&self) -> &Host {
        &self.host
    }

    fn markdown(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        let mut text = format!(
            "### Memory of uploads\n\n\
             `loadtest clips memory`: {} uploads of {} MiB at once, {:.0} MB/s together. The server's resident memory that belongs to no \
             file, looked at every 50 ms: before, and the most in each tenth of the time.\n\n| before |",
            self.uploads,
            self.bytes >> 20,
            self.mb_s
        );
        // A String takes everything.
        for tenth in 1..=self.tenths.len() {
            let _ = write!(text, " {tenth} |");
        }
        let _ = write!(text, "\n|{}\n", "---|".repeat(self.tenths.len() + 1));
        let _ = write!(text, "| {:.1} MiB |", mib(self.before));
        for most in &self.tenths {
            let _ = write!(text, " {:.1} |", mib(*most));
        }
        text + "\n\n"
    }
}

impl Section for ClipCalls {
    fn host(&self) -> &Host {
        &self.host
    }

    fn markdown(&self) -> String {
        let row = |name: &str, call: &CallFigures| {
            let CallFigures {
                per_s,
                p50_ms,
                p99_ms,
                cpu_us,
                ..
            } = call;
            format!("| {name} | {per_s} | {p50_ms} | {p99_ms} | {cpu_us} |\n")
        };
        format!(
            "### Calls of the clips' API\n\n\
             `loadtest clips calls`: {} callers at once over HTTP, each a person with a room and a clip, the next call as soon as the last \
             is answered; `IssueUploadCredentials` asks for {} parts. So times are those of a server that has nothing left. Median \
             (least–most) of the rounds' values.\n\n\
             | | calls/s | p50 ms | p99 ms | CPU µs |\n|---|---|---|---|---|\n{}{}\n",
            self.callers,
            self.parts,
            row("`GetClip`", &self.get),
            row("`IssueUploadCredentials`", &self.issue),
        )
    }

    fn plots(&self) -> Vec<(&'static str, String)> {
        let lines = [
            ("GetClip", &self.get.latency),
            ("IssueUploadCredentials", &self.issue.latency),
        ];
        let lines = lines.map(|(name, l)| (name.to_owned(), l.curve.as_slice()));
        let title = format!("Calls of the clips' API, {} callers", self.callers);
        vec![("clips-calls", svg::distribution(&title, &lines))]
    }
}

impl Section for Transcode {
    fn host(&self) -> &Host {
        &self.host
    }

    fn markdown(&self) -> String {
        format!(
            "### Transcoding\n\n\
             `loadtest clips transcode`: {:.0} s of 1080p by FFmpeg alone with the transcoder's flags, then through the transcoder, which \
             besides measures, verifies, makes poster and scrub pictures, and stores everything. CPU is that of all processes. Seconds, \
             median (least–most); each ratio is of one round; bound 1.05.\n\n\
             | | alone | through the transcoder | ratio |\n|---|---|---|---|\n\
             | wall | {} | {} | {} |\n| CPU | {} | {} | {} |\n\n",
            self.film_s,
            self.bare_wall_s,
            self.wall_s,
            self.wall_ratio,
            self.bare_cpu_s,
            self.cpu_s,
            self.cpu_ratio,
        )
    }
}
