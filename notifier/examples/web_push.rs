//! How many Web Push messages a process encrypts and sends in a second, beside the bare cryptography.
//!
//! `cargo run --release -p kaiwa-notifier --example web_push [seconds] [in flight]`
//!
//! The last line has the figures once more, as JSON. With `--double` it is the push service alone, which
//! writes its authority's certificate and its subscriptions, a line of JSON each.
//!
//! The push service is a double in another process on the same cores (TLS and HTTP/2 over loopback; it
//! checks VAPID and headers, and opens one message in a thousand, as a service has no key to open any).
//! The ratio tells what sending costs beside encrypting, whatever the machine.

#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::model::{
    Badge, Class, Content, DeviceId, EventId, Outcome, Push, Subject, Target, Urgency,
};
use kaiwa_notifier::senders::web_push::{VapidKeys, WebPushSender, encrypt};
use kaiwa_notifier::senders::{PushSender, address};
use kaiwa_platform::outbound::{Guard, Outbound, OutboundConfig};
use kaiwa_provider_doubles::{Control, Double, Kind, Options};
use ring::rand::SystemRandom;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

const DEVICES: usize = 1_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    if first.as_deref() == Some("--double") {
        runtime.block_on(serve());
        return;
    }
    let seconds = first.and_then(|text| text.parse().ok()).unwrap_or(5);
    let in_flight = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(200);
    let time = Duration::from_secs(seconds);
    let one = bare(time, 1);
    let two = bare(time, 2);
    println!("bare cryptography: {one:.0}/s on one thread, {two:.0}/s on two");
    println!("  {:.1} us a push", 1e6 / one);
    let sent = runtime.block_on(measure(time, in_flight));
    println!("encrypt and send: {sent:.0}/s, {in_flight} in flight, the double beside it");
    println!(
        "ratio to bare cryptography on two threads: {:.2}",
        sent / two
    );
    let figures = serde_json::json!({
        "bare_one_per_s": one, "bare_two_per_s": two, "sent_per_s": sent, "in_flight": in_flight,
    });
    println!("{figures}");
}

/// The double's process: subscriptions on its output, one a line.
async fn serve() {
    let options = Options {
        open_every: 1_000,
        ..Options::new(Kind::Webpush)
    };
    let double = Double::start(options).await.expect("a double");
    let mut out = std::io::stdout();
    let ca = serde_json::json!({ "ca": double.ca_pem() });
    writeln!(out, "{ca}").expect("written");
    for _ in 0..DEVICES {
        let made = double.subscribe().expect("a subscription");
        writeln!(out, "{}", serde_json::to_string(&made).expect("JSON")).expect("written");
    }
    out.flush().expect("written");
    let control = Control::bind(double, 0).await.expect("a port");
    control.serve().await.expect("it serves");
}

/// Encrypts a usual payload again and again.
fn bare(time: Duration, threads: usize) -> f64 {
    let count = AtomicU64::new(0);
    // A point that is known to be one: the base of P-256 times two would do as well.
    let key = VapidKeys::generate().expect("keys").public_text();
    let made = address::web_push(
        &Guard::default(),
        "https://push.example/x",
        &key,
        "BTBZMqHH6r4Tts7J_aSIgg",
    );
    let kaiwa_notifier::model::Address::WebPush { p256dh, auth, .. } = made.expect("an address")
    else {
        unreachable!("a Web Push address was made")
    };
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let random = SystemRandom::new();
                while begin.elapsed() < time {
                    std::hint::black_box(
                        encrypt(&random, &p256dh, &auth.0, &[b'x'; 300]).expect("it encrypts"),
                    );
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    per_second(&count, begin)
}

async fn measure(time: Duration, in_flight: usize) -> f64 {
    let me = std::env::current_exe().expect("this program");
    let mut child = Command::new(me)
        .arg("--double")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a double");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut next = || -> serde_json::Value {
        serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON")
    };
    let ca = next()["ca"].as_str().expect("a certificate").to_owned();
    let config = OutboundConfig {
        guard: Guard::new(&["127.0.0.0/8"]).expect("a guard"),
        extra_roots: Some(ca.into_bytes()),
        ..OutboundConfig::default()
    };
    let http = Arc::new(Outbound::new(config).expect("a client"));
    let targets: Arc<Vec<Target>> =
        Arc::new((0..DEVICES).map(|n| target(&http, n, &next())).collect());
    let keys = VapidKeys::generate().expect("keys");
    let sender = WebPushSender::new(http, keys, "mailto:ops@example.org".into(), UnixMs::now);
    let sender = Arc::new(sender.expect("a sender"));
    let (count, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..in_flight {
        let (sender, targets) = (Arc::clone(&sender), Arc::clone(&targets));
        let (count, failed) = (Arc::clone(&count), Arc::clone(&failed));
        tasks.spawn(async move {
            let mut n = task;
            while begin.elapsed() < time {
                let push = push(n);
                let sent = sender.send(&targets[n % DEVICES], &push).await;
                let is_sent = matches!(sent, Outcome::Accepted { .. });
                let counter = if is_sent { &count } else { &failed };
                counter.fetch_add(1, Ordering::Relaxed);
                n += in_flight;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    let rate = per_second(&count, begin);
    assert_eq!(failed.load(Ordering::Relaxed), 0, "every push was accepted");
    child.kill().expect("the double ends");
    child.wait().expect("the double has ended");
    rate
}

fn target(http: &Outbound, n: usize, made: &serde_json::Value) -> Target {
    let text = |member: &str| made[member].as_str().expect("text");
    let address = address::web_push(http.guard(), text("endpoint"), text("p256dh"), text("auth"))
        .expect("an address");
    Target {
        device: DeviceId(Uuid::from_u128(n as u128)),
        address,
    }
}

fn push(n: usize) -> Push {
    Push {
        event: EventId(Uuid::from_u128(n as u128)),
        class: Class::Message,
        collapse: format!("room:r_{}", n % 50),
        expires: UnixMs::now().plus(Duration::from_secs(3_600)),
        urgency: Urgency::Normal,
        is_silent: false,
        content: Some(Content {
            title: Redacted("Alice in #team".to_owned()),
            body: Redacted("Shall we meet at ten, and bring the plans along?".to_owned()),
        }),
        subject: Subject {
            room: RoomId::parse("r_1").ok(),
            seq: Some(n as u64),
            call: None,
            clip: None,
        },
        badge: Some(Badge {
            count: 3,
            version: n as u64,
        }),
        user: UserId::parse("bob").expect("a user id"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn per_second(count: &AtomicU64, begin: Instant) -> f64 {
    count.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64()
}
