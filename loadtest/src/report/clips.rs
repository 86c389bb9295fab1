//! What was measured of clips, for people.

use super::{Section, svg};
use crate::clips::calls::{Call, CallFigures, ClipCalls, Form};
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
        let mut text = format!(
            "### Uploads\n\n\
             `loadtest clips upload`: {} MiB in parts of 8 MiB over {} connections from another process, each part signed with its \
             checksum, which the server checks; each is on the disk before its answer. From the registration to the answer that it is \
             complete. Beside it, in the same rounds, one thread that writes the same number of bytes in pieces of 1 MiB into a file and \
             syncs it; that does so and takes the same checksum; that does so with bytes from a loopback connection. MB/s, median \
             (least–most); each ratio is of one round.\n\n\
             | parts with | MB/s | to write and fsync (bound 0.7) | to write, checksum and fsync | to receive, write and fsync | \
             server's CPU s/GB | sender's |\n|---|---|---|---|---|---|---|\n",
            self.bytes >> 20,
            self.lanes,
        );
        // A String takes everything.
        for one in &self.kinds {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} |",
                one.kind.name(),
                one.upload_mb_s,
                one.to_written,
                one.to_summed,
                one.to_received,
                one.server_s_per_gb,
                one.sender_s_per_gb
            );
        }
        let _ = write!(
            text,
            "\n| the machine alone | MB/s |\n|---|---|\n| write and fsync | {} |\n",
            self.written_mb_s
        );
        for one in &self.kinds {
            let (name, rate) = (one.kind.name(), &one.summed_mb_s);
            let _ = writeln!(text, "| … with {name} | {rate} |");
        }
        let _ = write!(text, "| … from a connection | {} |\n\n", self.received_mb_s);
        text
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
        let mut text = format!(
            "### Calls of the clips' API\n\n\
             `loadtest clips calls`: {} callers at once, each a person with a room, a clip and a connection of their own, the next call \
             as soon as the last is answered; `IssueUploadCredentials` asks for {} parts, under a new key each time. So times are those of a \
             server that has nothing left. Median (least–most) of the rounds' values.\n\n\
             | | calls/s | p50 ms | p99 ms | CPU µs |\n|---|---|---|---|---|\n",
            self.callers, self.parts,
        );
        // A String takes everything.
        for one in &self.calls {
            let CallFigures {
                per_s,
                p50_ms,
                p99_ms,
                cpu_us,
                ..
            } = one;
            let name = name(one);
            let _ = writeln!(
                text,
                "| {name} | {per_s} | {p50_ms} | {p99_ms} | {cpu_us} |"
            );
        }
        text + "\n"
    }

    fn plots(&self) -> Vec<(&'static str, String)> {
        let lines = self.calls.iter();
        let lines: Vec<_> = lines
            .map(|one| (name(one).replace('`', ""), one.latency.curve.as_slice()))
            .collect();
        let title = format!("Calls of the clips' API, {} callers", self.callers);
        vec![("clips-calls", svg::distribution(&title, &lines))]
    }
}

fn name(figures: &CallFigures) -> String {
    let call = match figures.call {
        Call::Get => "`GetClip`",
        Call::Issue => "`IssueUploadCredentials`",
    };
    let form = match figures.form {
        Form::Http => "HTTP",
        Form::Grpc => "gRPC",
    };
    format!("{call}, {form}")
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
