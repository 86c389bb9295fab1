//! The client against a local server: the guard at the connection, the pool, the bounds.

use super::*;
use http::StatusCode;
use kaiwa_provider_doubles::{Action, Double, Kind, Options, Step};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A resolver that gives another answer each time.
struct Lying {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Lying {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |list: &&[&str]| {
            list.iter()
                .map(|ip| ip.parse().expect("an address"))
                .collect()
        };
        Arc::new(Self {
            answers: answers.iter().map(parse).collect(),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Resolve for Lying {
    fn resolve<'a>(&'a self, _host: &'a str) -> Addresses<'a> {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers.get(turn).cloned();
        Box::pin(async move { answer.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}

async fn double(kind: Kind) -> Double {
    Double::start(Options::new(kind)).await.expect("a double")
}

fn config(double: &Double, allowed: &[&str]) -> OutboundConfig {
    OutboundConfig {
        guard: Guard::new(allowed).expect("an allow list"),
        extra_roots: Some(double.ca_pem().as_bytes().to_vec()),
        ..OutboundConfig::default()
    }
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).expect("a request")
}

async fn call(client: &Outbound, url: &str) -> Result<StatusCode, OutboundError> {
    client.send(get(url)).await.map(|answer| answer.status())
}

#[tokio::test]
async fn a_name_that_leads_into_the_private_network_is_not_called() {
    let double = double(Kind::Webpush).await;
    for answer in [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
    ] {
        let resolver = Lying::new(&[&answer]);
        let client = Outbound::new(OutboundConfig {
            resolver,
            ..config(&double, &[])
        });
        let result = call(&client.expect("a client"), "https://push.example:8443/").await;
        assert_eq!(
            result,
            Err(OutboundError::Forbidden(Forbidden::Address)),
            "{answer:?}"
        );
    }
    assert_eq!(double.report().connections, 0);
}

#[tokio::test]
async fn a_name_is_checked_without_a_connection_and_one_that_leads_nowhere_yet_passes() {
    let double = double(Kind::Webpush).await;
    for (answers, result) in [
        (&[&["10.0.0.1"][..]][..], Err(Forbidden::Address)),
        (&[&["fe80::1", "127.0.0.1"]], Err(Forbidden::Address)),
        (&[&["93.184.215.14"]], Ok(())),
        (&[], Ok(())),
    ] {
        let client = Outbound::new(OutboundConfig {
            resolver: Lying::new(answers),
            ..config(&double, &[])
        });
        let client = client.expect("a client");
        let checked = client.check("https://push.example/x").await;
        assert_eq!(checked, result, "{answers:?}");
        let scheme = client.check("http://push.example/x").await;
        assert_eq!(scheme, Err(Forbidden::Scheme));
    }
    assert_eq!(double.report().connections, 0);
}

#[tokio::test]
async fn a_name_is_asked_once_for_a_connection_and_what_was_checked_is_called() {
    let double = double(Kind::Webpush).await;
    let url = format!("https://localhost:{}/x", double.address().port());
    // The second question would lead elsewhere: DNS rebinding asks for exactly that.
    let resolver = Lying::new(&[&["10.0.0.1", "127.0.0.1"], &["10.0.0.1"]]);
    let asked = Arc::clone(&resolver);
    let client = Outbound::new(OutboundConfig {
        resolver,
        ..config(&double, &["127.0.0.1"])
    });
    let client = client.expect("a client");
    assert_eq!(call(&client, &url).await, Ok(StatusCode::NOT_FOUND));
    assert_eq!(call(&client, &url).await, Ok(StatusCode::NOT_FOUND));
    assert_eq!(asked.asked.load(Ordering::Relaxed), 1);
    double.go_away();
    let later = async {
        // Until the connection has heard it.
        while client.connections() > 0 {
            tokio::task::yield_now().await;
        }
        call(&client, &url).await
    };
    let forbidden = Err(OutboundError::Forbidden(Forbidden::Address));
    assert_eq!(later.await, forbidden, "a new connection is checked anew");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let double = double(Kind::Webpush).await;
    let config = OutboundConfig {
        extra_roots: None,
        ..config(&double, &["127.0.0.1"])
    };
    let client = Outbound::new(config).expect("a client");
    assert_eq!(call(&client, &double.url()).await, Err(OutboundError::Tls));
    let nobody = Outbound::new(OutboundConfig {
        extra_roots: Some(b"x".to_vec()),
        ..OutboundConfig::default()
    });
    assert!(matches!(nobody, Err(InvalidRoots::Pem)));
}

#[tokio::test]
async fn calls_share_connections_within_the_bounds() {
    for (kind, connections, streams, most) in [
        (Kind::Webpush, 2, 10, 2),
        (Kind::Slack, 3, 10, 3),
        (Kind::Apns, 1, 4, 1),
    ] {
        let double = double(kind).await;
        let bounds = Bounds {
            connections,
            streams,
        };
        let client = Outbound::new(OutboundConfig {
            bounds,
            ..config(&double, &["127.0.0.1"])
        });
        let client = Arc::new(client.expect("a client"));
        let url = format!("{}/x", double.url());
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (client, url) = (Arc::clone(&client), url.clone());
            calls.spawn(async move { call(&client, &url).await });
        }
        while let Some(status) = calls.join_next().await {
            status.expect("no panic").expect("an answer");
        }
        let report = double.report();
        assert_eq!(report.requests, 100);
        assert!(
            (1..=most).contains(&report.connections),
            "{kind:?}: {}",
            report.connections
        );
    }
}

#[tokio::test]
async fn a_request_that_was_not_sent_goes_over_a_new_connection() {
    for kind in [Kind::Webpush, Kind::Slack] {
        let double = double(kind).await;
        let client = Outbound::new(config(&double, &["127.0.0.1"])).expect("a client");
        let url = format!("{}/x", double.url());
        for turn in 1..=20 {
            assert_eq!(
                call(&client, &url).await,
                Ok(StatusCode::NOT_FOUND),
                "{kind:?} {turn}"
            );
            double.go_away();
            // HTTP/1.1 has no word for "not acted on": what was written to a connection that ends is lost.
            while kind == Kind::Slack && client.connections() > 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test]
async fn nobody_listening_fails_for_all_who_wait() {
    let double = double(Kind::Webpush).await;
    let config = config(&double, &["127.0.0.1"]);
    let url = double.url();
    drop(double);
    let client = Arc::new(Outbound::new(config).expect("a client"));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, url) = (Arc::clone(&client), url.clone());
        calls.spawn(async move { call(&client, &url).await });
    }
    while let Some(result) = calls.join_next().await {
        // Lost, if the listener took the connection before it heard of its end.
        let error = result.expect("no panic").expect_err("nobody is there");
        let is_down = matches!(
            error,
            OutboundError::Connect | OutboundError::Tls | OutboundError::Lost
        );
        assert!(is_down, "{error:?}");
    }
}

#[tokio::test]
async fn answers_are_bounded_and_redirects_are_answers() {
    let double = double(Kind::Webpush).await;
    let client = Outbound::new(config(&double, &["127.0.0.1"])).expect("a client");
    double.script(Step::once(Action::LongBody {
        bytes: OUTBOUND_BODY_BYTES + 1,
    }));
    assert_eq!(
        call(&client, &double.url()).await,
        Err(OutboundError::Answer)
    );
    double.script(Step::once(Action::LongBody {
        bytes: OUTBOUND_BODY_BYTES,
    }));
    assert_eq!(call(&client, &double.url()).await, Ok(StatusCode::OK));
    double.script(Step::answer(302, ""));
    assert_eq!(call(&client, &double.url()).await, Ok(StatusCode::FOUND));
}

#[tokio::test]
async fn hosts_that_people_name_are_bounded() {
    let double = double(Kind::Webpush).await;
    let guard = Guard::new(&["127.0.0.0/8"]).expect("an allow list");
    let client = Outbound::new(OutboundConfig {
        guard,
        ..config(&double, &[])
    })
    .expect("a client");
    let port = double.address().port();
    for n in 0..OUTBOUND_HOSTS + 20 {
        let address = Ipv4Addr::from(0x7f00_0000 + u32::try_from(n).expect("small") + 1);
        let (_, origin) = client
            .guard()
            .check_url(&format!("https://{address}:{port}/"))
            .expect("a URL");
        client.host(&origin).expect("room for it");
    }
    assert_eq!(
        client.hosts.lock().expect("not poisoned").len(),
        OUTBOUND_HOSTS
    );
}
