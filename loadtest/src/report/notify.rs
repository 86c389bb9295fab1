//! What was measured of notifications, for people.

use super::Section;
use crate::notify::delay::Delay;
use crate::notify::programs::{Router, Waiting, WebPush};
use crate::proc::Host;

impl Section for Router {
    fn host(&self) -> &Host {
        &self.host
    }

    fn markdown(&self) -> String {
        format!(
            "### Events through the router\n\n\
             `loadtest notify router`: {} events of one recipient each wait in the embedded queue, on disk. Each is received, decided, \
             recorded and deleted; its job is sent, received, claimed, answered with yes at once, recorded and deleted. Beside it \
             what an event needs of the queues alone (two messages received and deleted, one sent, from 64 tasks), and of SQLite with \
             the queue's statements in commits of 64 batches. Events a second, median (least–most); each ratio is of one round.\n\n\
             | | events/s | to the queue alone | to SQLite alone | aim |\n|---|---|---|---|---|\n\
             | routed | {} | | | 5000 |\n\
             | delivered | {} | {} | {} | 5000 |\n\
             | the queue alone | {} | | | |\n\
             | SQLite alone | {} | | | |\n\n\
             {:.0} commits for a round.\n\n",
            self.events,
            self.routed_per_s,
            self.delivered_per_s,
            self.to_queue,
            self.to_bare,
            self.queue_per_s,
            self.bare_per_s,
            self.commits.median,
        )
    }
}

impl Section for WebPush {
    fn host(&self) -> &Host {
        &self.host
    }

    fn cores(&self) -> &'static str {
        "both sides on the same cores"
    }

    fn markdown(&self) -> String {
        format!(
            "### Web Push, encrypted and sent\n\n\
             `loadtest notify web-push`: {:.0} sends at once to a push service in another process on the same cores (TLS, HTTP/2, \
             VAPID checked), each encrypted for its device (RFC 8291). Beside it the encryption alone. Pushes a second, median \
             (least–most); each ratio is of one round.\n\n\
             | | pushes/s | of encryption, one thread | of encryption, two threads | aim |\n|---|---|---|---|---|\n\
             | encrypted and sent | {} | {} | {} | 3000 |\n\
             | encryption alone, one thread | {} | | | |\n\
             | encryption alone, two threads | {} | | | |\n\n",
            self.in_flight,
            self.sent_per_s,
            self.to_one,
            self.to_two,
            self.bare_one_per_s,
            self.bare_two_per_s,
        )
    }
}

impl Section for Delay {
    fn host(&self) -> &Host {
        &self.host
    }

    fn markdown(&self) -> String {
        format!(
            "### From the commit to the push service's yes\n\n\
             `loadtest notify delay`: a server, {} messages a second for {} s in direct rooms to people who are away, each with a browser; \
             the push service is a process on the same cores, and so are the writers. Times are the server's own \
             (`kaiwa_notifier_delivery_seconds`: from the time of the message's commit) less the grace of {:.0} ms, in which nobody is told \
             by design. {} messages, as many pushes. Median (least–most) of the rounds' values.\n\n\
             | | p50 ms | p99 ms | aim |\n|---|---|---|---|\n\
             | commit to accepted, without the grace | {} | {} | p99 250 |\n\
             | send to committed, the same messages | {} | {} | |\n\n\
             {} messages/s; the server used {} cores.\n\n",
            self.asked_per_s,
            self.seconds,
            self.grace_ms,
            self.messages,
            self.p50_ms,
            self.p99_ms,
            self.commit_p50_ms,
            self.commit_p99_ms,
            self.per_s,
            self.cpu,
        )
    }
}

impl Section for Waiting {
    fn host(&self) -> &Host {
        &self.host
    }

    fn markdown(&self) -> String {
        let figures = &self.figures;
        format!(
            "### Jobs that wait\n\n\
             `loadtest notify waiting`: {:.0} jobs of 300 B in the embedded queue, nobody taking them.\n\n\
             | figure | value |\n|---|---|\n\
             | resident memory before → with all → after they were counted | {:.1} → {:.1} → {:.1} MiB |\n\
             | database | {:.0} MiB, {:.0} B a job |\n\
             | a receive of ten | {:.1} ms |\n\
             | counting them | {:.0} ms |\n\n",
            figures.waiting,
            figures.resident_before_mib,
            figures.resident_after_mib,
            figures.resident_counted_mib,
            figures.database_mib,
            figures.database_mib * 1024.0 * 1024.0 / figures.waiting,
            figures.receive_ms,
            figures.depth_ms,
        )
    }
}
