//! The operators' calls: who may make them, what they take, and what they answer.

#[path = "support/client.rs"]
mod client;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use client::{server, token_of, wall};
use http_body_util::BodyExt as _;
use kaiwa_common::id::UserId;
use kaiwa_common::limits::{ADMIN_BATCH, ADMIN_BODY_BYTES, ADMIN_IDS, ADMIN_PAGE, Limits};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::{CallGrant, Identity, ServerRole, TokenKey};
use kaiwa_signaling::edge::address::Addresses;
use kaiwa_signaling::edge::assets::Assets;
use kaiwa_signaling::edge::guard::{Ends, Guard};
use kaiwa_signaling::edge::{Edge, SignIn, router};
use kaiwa_signaling::push::Decision;
use kaiwa_signaling::push::admin::{
    AdminError, Answer, Breaker, BreakerState, DeadLetter, DeadPage, Decided, Done, NotifyAdmin,
    Pick, QueueState, Step,
};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::ServiceExt as _;
use uuid::Uuid;

/// Remembers what it was asked.
#[derive(Default)]
struct Asked(Mutex<Vec<String>>);

impl Asked {
    fn note<T: Send + 'static>(
        &self,
        what: String,
        answer: Result<T, AdminError>,
    ) -> Answer<'static, T> {
        self.0.lock().expect("whole").push(what);
        Box::pin(ready(answer))
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("whole"))
    }
}

fn letter() -> DeadLetter {
    DeadLetter {
        id: "m-1".to_owned(),
        queue: "push-webpush".to_owned(),
        reason: "exhausted".to_owned(),
        component: "consumer".to_owned(),
        first_seen: UnixMs(1),
        trace: None,
        event: Some(Uuid::from_u128(5)),
        user: UserId::parse("bob").ok(),
        body_bytes: 300,
        facts: BTreeMap::from([("class".to_owned(), "message".to_owned())]),
    }
}

impl NotifyAdmin for Asked {
    fn queues(&self) -> Answer<'_, Vec<QueueState>> {
        let queue = QueueState {
            name: "push-webpush".to_owned(),
            visible: 3,
            in_flight: 2,
            delayed: 1,
            oldest: Some(UnixMs(9)),
            dead: 4,
            breakers: vec![Breaker {
                provider: "push.example".to_owned(),
                state: BreakerState::Open,
                until: None,
                why: "503".to_owned(),
            }],
        };
        self.note("queues".to_owned(), Ok(vec![queue]))
    }

    fn dead(
        &self,
        queue: Option<String>,
        reason: Option<String>,
        limit: usize,
    ) -> Answer<'_, DeadPage> {
        let answer = match queue.as_deref() {
            Some("nowhere") => Err(AdminError::QueueUnknown),
            Some("down") => Err(AdminError::Unavailable("time-out".to_owned())),
            _ => Ok(DeadPage {
                letters: vec![letter()],
                has_more: true,
            }),
        };
        self.note(format!("dead {queue:?} {reason:?} {limit}"), answer)
    }

    fn dead_letter(&self, queue: Option<String>, id: String) -> Answer<'_, Option<DeadLetter>> {
        let answer = (id == "m-1").then(letter);
        self.note(format!("letter {queue:?} {id}"), Ok(answer))
    }

    fn redrive(&self, queue: String, pick: Pick, limit: usize) -> Answer<'_, Done> {
        let done = Done {
            done: 1,
            failed: vec![("m-2".to_owned(), "gone".to_owned())],
            ..Done::default()
        };
        self.note(format!("redrive {queue} {pick:?} {limit}"), Ok(done))
    }

    fn discard(&self, queue: String, pick: Pick, limit: usize) -> Answer<'_, Done> {
        self.note(
            format!("drop {queue} {pick:?} {limit}"),
            Ok(Done::default()),
        )
    }

    fn decisions(
        &self,
        event: Option<Uuid>,
        user: Option<UserId>,
        limit: usize,
    ) -> Answer<'_, Vec<Decided>> {
        let decided = Decided {
            user: UserId::parse("bob").expect("an id"),
            decision: Decision {
                event: Uuid::from_u128(5),
                time: UnixMs(1),
                room: None,
                seq: None,
                is_sent: false,
                reason: Cow::Borrowed("room_muted"),
                message: Cow::Borrowed("the room is muted"),
                attempts: Vec::new(),
            },
            steps: vec![Step {
                rule: Cow::Borrowed("room_mute"),
                ruling: Cow::Borrowed("stops"),
            }],
        };
        let user = user.map(|user| user.to_string());
        self.note(format!("why {event:?} {user:?} {limit}"), Ok(vec![decided]))
    }
}

struct Scene {
    router: Router,
    asked: Arc<Asked>,
    admin: String,
    tokens: BTreeMap<&'static str, String>,
}

fn scene(has_notifier: bool) -> Scene {
    let context = server(Limits::default());
    let asked = Arc::new(Asked::default());
    let of = |role| token_of(&context, "olga", role, CallGrant::ALL);
    let (admin, creator, viewer) = (
        of(ServerRole::Admin),
        of(ServerRole::Creator),
        of(ServerRole::Viewer),
    );
    let user = UserId::parse("olga").expect("an id");
    let identity = |ttl| Identity::new(user.clone(), "", ServerRole::Admin, wall(), ttl);
    let expired = context.tokens.issue(&identity(Duration::ZERO), wall());
    let foreign = TokenKey::hs256(&Secret::new(vec![8; 32]), "kaiwa", None).expect("long enough");
    let forged = foreign.issue(&identity(Duration::from_secs(60)), wall());
    let edge = Arc::new(Edge {
        guard: Guard::default(),
        addresses: Addresses::new(Limits::default()),
        sign_in: SignIn::Loopback,
        token_ttl: Duration::from_secs(60),
        public_metrics: false,
        notify_admin: has_notifier.then(|| Arc::clone(&asked) as Arc<dyn NotifyAdmin>),
        guests: kaiwa_signaling::edge::guest::Guests::default(),
        whip: None,
        assets: Assets(&[]),
        render_metrics: Box::new(String::new),
        not_ready: Box::new(|| None),
        version: "0",
        context,
    });
    let tokens = [
        ("creator", format!("Bearer {creator}")),
        ("viewer", format!("Bearer {viewer}")),
        ("expired", format!("Bearer {expired}")),
        ("forged", format!("Bearer {forged}")),
        ("basic", format!("Basic {admin}")),
        ("bare", admin.clone()),
        ("empty", "Bearer ".to_owned()),
    ];
    Scene {
        router: router(edge),
        asked,
        admin: format!("Bearer {admin}"),
        tokens: tokens.into(),
    }
}

const ID: &str = "00000000-0000-0000-0000-000000000005";

/// Every call, and one that there is not.
const CALLS: [(&str, &str, &str); 9] = [
    ("GET", "/queues", ""),
    ("GET", "/dead?queue=push-webpush", ""),
    ("GET", "/dead/m-1", ""),
    (
        "POST",
        "/dead/redrive",
        r#"{"queue":"push-webpush","all":true}"#,
    ),
    (
        "POST",
        "/dead/drop",
        r#"{"queue":"push-webpush","ids":["m-1"]}"#,
    ),
    ("GET", "/decisions?user=bob", ""),
    ("GET", "/nothing", ""),
    ("DELETE", "/queues", ""),
    ("POST", "/dead/redrive", "not JSON"),
];

impl Scene {
    async fn call(
        &self,
        (method, path, body): (&str, &str, &str),
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/notifications{path}"))
            .header(header::HOST, "localhost:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let mut request = request
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let ends = Ends {
            local: ([127, 0, 0, 1], 8080).into(),
            remote: ([127, 0, 0, 1], 50_000).into(),
        };
        request.extensions_mut().insert(ends);
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("answered");
        let status = response.status().as_u16();
        assert_eq!(response.headers()["cache-control"], "no-store");
        let bytes = response
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        let body = serde_json::from_slice(&bytes);
        (status, body.unwrap_or(Value::Null))
    }

    /// As an administrator.
    async fn ask(&self, call: (&str, &str, &str)) -> (u16, Value) {
        self.call(call, &[("authorization", &self.admin)]).await
    }
}

#[tokio::test]
async fn whoever_is_not_an_administrator_learns_and_does_nothing() {
    for has_notifier in [true, false] {
        let scene = scene(has_notifier);
        for call in CALLS {
            let (status, answer) = scene.call(call, &[]).await;
            assert_eq!(
                (status, &answer["error"]["code"]),
                (401, &json!(200)),
                "{call:?}"
            );
            for (who, token) in &scene.tokens {
                let (status, answer) = scene.call(call, &[("authorization", token)]).await;
                let expected = match *who {
                    "creator" | "viewer" => (403, 300),
                    "expired" => (401, 201),
                    _ => (401, 200),
                };
                let code = answer["error"]["code"].as_u64().unwrap_or(0);
                assert_eq!((status, code), expected, "{who}: {call:?} {answer}");
            }
        }
        assert!(scene.asked.take().is_empty());
    }
}

#[tokio::test]
async fn a_foreign_page_and_a_foreign_name_are_refused_with_the_best_of_tokens() {
    let scene = scene(true);
    let token = ("authorization", scene.admin.as_str());
    let call = CALLS[3];
    let page = [token, ("origin", "https://evil.example")];
    let router = scene.router.clone();
    let (method, path, body) = call;
    let request = |headers: &[(&str, &str)], host: &str| {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/notifications{path}"))
            .header(header::HOST, host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let end = ([127, 0, 0, 1], 8080).into();
        let ends = Ends {
            local: end,
            remote: end,
        };
        request.extensions_mut().insert(ends);
        request
    };
    let answered = router
        .clone()
        .oneshot(request(&page, "localhost:8080"))
        .await;
    assert_eq!(answered.expect("answered").status(), 403);
    let answered = router.oneshot(request(&[token], "evil.example")).await;
    assert_eq!(answered.expect("answered").status(), 421);
    assert!(scene.asked.take().is_empty());
}

#[tokio::test]
async fn a_server_without_notifications_says_so_to_its_administrator() {
    let scene = scene(false);
    for call in &CALLS[..6] {
        let (status, answer) = scene.ask(*call).await;
        assert_eq!(
            (status, &answer["error"]["reason"]),
            (404, &json!("push_off"))
        );
    }
}

#[tokio::test]
async fn each_call_asks_what_it_says_and_answers_in_full() {
    let scene = scene(true);
    let (_, queues) = scene.ask(CALLS[0]).await;
    let expected = json!({"queues": [{"name": "push-webpush", "visible": 3, "in_flight": 2,
        "delayed": 1, "oldest_ms": 9, "dead": 4, "breakers": [{"provider": "push.example",
        "state": "open", "until_ms": null, "why": "503"}]}]});
    assert_eq!(queues, expected);
    let expected = json!({"id": "m-1", "queue": "push-webpush", "reason": "exhausted",
        "component": "consumer", "first_seen_ms": 1, "trace": null, "event": ID, "user": "bob",
        "body_bytes": 300, "facts": {"class": "message"}});
    assert_eq!(
        scene
            .ask(("GET", "/dead/m-1?queue=push-webpush", ""))
            .await
            .1,
        expected
    );
    let (_, dead) = scene
        .ask(("GET", "/dead?reason=exhausted&limit=100000", ""))
        .await;
    assert_eq!(dead, json!({"letters": [expected], "more": true}));
    let (_, done) = scene.ask(CALLS[3]).await;
    let failed = json!([{"id": "m-2", "why": "gone"}]);
    assert_eq!(
        done,
        json!({"done": 1, "failed": failed, "more": false, "stopped": null})
    );
    scene.ask(CALLS[4]).await;
    let by_reason = r#"{"queue":"push-webpush","reason":"schema"}"#;
    scene.ask(("POST", "/dead/drop", by_reason)).await;
    let why = format!("/decisions?user=bob&event={ID}&limit=5");
    let (_, decisions) = scene.ask(("GET", &why, "")).await;
    let decision = &decisions["decisions"][0];
    assert_eq!(
        decision["steps"],
        json!([{"rule": "room_mute", "ruling": "stops"}])
    );
    assert_eq!(
        (&decision["sent"], &decision["user"]),
        (&json!(false), &json!("bob"))
    );
    let expected = [
        "queues".to_owned(),
        "letter Some(\"push-webpush\") m-1".to_owned(),
        format!("dead None Some(\"exhausted\") {ADMIN_PAGE}"),
        format!("redrive push-webpush All {ADMIN_BATCH}"),
        format!("drop push-webpush Ids([\"m-1\"]) {ADMIN_BATCH}"),
        format!("drop push-webpush Reason(\"schema\") {ADMIN_BATCH}"),
        format!("why Some({ID}) Some(\"bob\") 5"),
    ];
    assert_eq!(scene.asked.take(), expected);
}

#[tokio::test]
async fn what_is_wrong_or_too_large_is_refused_before_anybody_is_asked() {
    let scene = scene(true);
    let ids = |count: usize| json!({"queue": "q", "ids": vec!["m"; count]}).to_string();
    let long = format!("/dead/{}", "m".repeat(129));
    let (too_many, huge) = (ids(ADMIN_IDS + 1), ids(ADMIN_BODY_BYTES / 3));
    for (call, expected) in [
        (("POST", "/dead/redrive", "not JSON"), 400),
        (("POST", "/dead/redrive", r#"{"queue":"q"}"#), 422),
        (("POST", "/dead/drop", r#"{"queue":"q","ids":[]}"#), 422),
        (
            ("POST", "/dead/drop", r#"{"queue":"q","ids":["a b"]}"#),
            422,
        ),
        (
            (
                "POST",
                "/dead/drop",
                r#"{"queue":"q","ids":["m"],"all":true}"#,
            ),
            422,
        ),
        (("POST", "/dead/drop", r#"{"queue":"","all":true}"#), 422),
        (("POST", "/dead/drop", r#"{"queue":"q","al":true}"#), 422),
        (("POST", "/dead/drop", too_many.as_str()), 422),
        (("POST", "/dead/drop", huge.as_str()), 413),
        (("GET", "/decisions", ""), 422),
        (("GET", "/decisions?event=x", ""), 422),
        (("GET", "/decisions?user=a%20b", ""), 422),
        (("GET", "/dead?limt=1", ""), 400),
        (("GET", "/dead?queue=a%0Ab", ""), 422),
        (("GET", long.as_str(), ""), 422),
        (("GET", "/nothing", ""), 404),
    ] {
        let (status, answer) = scene.ask(call).await;
        assert_eq!(status, expected, "{call:?} {answer}");
        assert!(answer["error"]["code"].is_u64(), "{call:?} {answer}");
    }
    assert!(scene.asked.take().is_empty());
    for (path, expected, code) in [
        ("/dead?queue=nowhere", 404, 400),
        ("/dead?queue=down", 503, 108),
        ("/dead/m-3", 404, 400),
    ] {
        let (status, answer) = scene.ask(("GET", path, "")).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (expected, &json!(code)),
            "{path}"
        );
    }
}
