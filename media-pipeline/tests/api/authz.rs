//! Who may do what: tables.

use crate::support::{key, room, service_token, token_of, tokens, user};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use kaiwa_common::id::RoomId;
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::ServerRole;
use kaiwa_media_pipeline::api::{ApiError, Caller};
use kaiwa_media_pipeline::authz::{
    AskHook, Asked, HookConfig, HookedRooms, Operation, PermissionHook, Scope, Tokens, check,
};
use kaiwa_media_pipeline::ports::{Action, Answer, Asker, RoomAuthz, StoreError, Verdict};
use kaiwa_platform::clock::ManualClock;
use kaiwa_platform::outbound::{Outbound, OutboundConfig};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).expect("a header"));
    }
    headers
}

/// Authorization, acting user, operation; a person, or a reason.
type Row = (
    String,
    Option<&'static str>,
    Operation,
    Result<&'static str, &'static str>,
);

#[test]
fn each_role_may_what_its_row_says() {
    use Operation::{
        Abort, Admin, Cancel, Captions, Complete, Create, Delete, Get, Grant, List, Parts,
        Playback, Retry, Share, Watch,
    };
    let watching = [Get, List, Watch, Playback];
    let making = [
        Create, Grant, Parts, Complete, Abort, Retry, Cancel, Delete, Share, Captions,
    ];
    assert_eq!(watching.len() + making.len() + 1, Operation::ALL.len());
    for operation in Operation::ALL {
        let viewer = watching.contains(operation);
        let creator = viewer || making.contains(operation);
        let admin = creator || *operation == Admin;
        assert_eq!(
            operation.allows(ServerRole::Viewer),
            viewer,
            "{operation:?}"
        );
        assert_eq!(
            operation.allows(ServerRole::Creator),
            creator,
            "{operation:?}"
        );
        assert_eq!(operation.allows(ServerRole::Admin), admin, "{operation:?}");
    }
    for scope in ["clips.read", "clips.write", "clips.play", "clips.admin"] {
        assert_eq!(Scope::parse(scope).map(Scope::text), Some(scope));
    }
    assert_eq!(Scope::parse("clips.*"), None);
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[test]
fn tokens_and_acting_for_others_by_table() {
    let creator = token_of("alice", ServerRole::Creator, 60);
    let viewer = token_of("victor", ServerRole::Viewer, 60);
    let expired = token_of("alice", ServerRole::Creator, -1);
    let of = |token: &str| format!("Bearer {token}");
    let service = |name| of(&service_token(name));
    let (get, delete, admin) = (Operation::Get, Operation::Delete, Operation::Admin);
    let bob = Some("bob");
    let table: Vec<Row> = vec![
        (of(&creator), None, delete, Ok("alice")),
        (format!("bearer {creator}"), None, get, Ok("alice")),
        (of(&viewer), None, get, Ok("victor")),
        (of(&viewer), None, delete, Err("ROLE_TOO_LOW")),
        (of(&creator), None, admin, Err("ROLE_TOO_LOW")),
        (of(&creator), bob, get, Err("ACTING_USER_REFUSED")),
        (of(&creator), Some("alice"), get, Err("ACTING_USER_REFUSED")),
        (of(&expired), None, get, Err("TOKEN_EXPIRED")),
        (of("x.y.z"), None, get, Err("UNAUTHENTICATED")),
        (String::new(), None, get, Err("UNAUTHENTICATED")),
        (creator.clone(), None, get, Err("UNAUTHENTICATED")),
        (
            format!("Basic {creator}"),
            None,
            get,
            Err("UNAUTHENTICATED"),
        ),
        (service("lms"), bob, delete, Ok("bob")),
        (service("lms"), None, get, Err("ACTING_USER_REFUSED")),
        (service("lms"), Some("b b"), get, Err("ACTING_USER_REFUSED")),
        (service("lms"), bob, admin, Err("SCOPE_MISSING")),
        (service("reader"), bob, get, Ok("bob")),
        (service("reader"), bob, delete, Err("SCOPE_MISSING")),
        (
            service("reader"),
            bob,
            Operation::Playback,
            Err("SCOPE_MISSING"),
        ),
        (service("bobs"), bob, get, Ok("bob")),
        (
            service("bobs"),
            Some("eve"),
            get,
            Err("ACTING_USER_REFUSED"),
        ),
        (service("ops"), None, admin, Ok("ops")),
        (service("ops"), bob, get, Err("ACTING_USER_REFUSED")),
        (service("ops"), bob, admin, Err("ACTING_USER_REFUSED")),
        (service("stranger"), bob, get, Err("UNAUTHENTICATED")),
    ];
    for (authorization, acting, operation, expected) in table {
        let mut sent = headers(&[("authorization", &authorization)]);
        if let Some(acting) = acting {
            sent.insert("x-acting-user", acting.parse().expect("a header"));
        }
        let who = tokens().authenticate(&sent, operation, UnixMs::now());
        let got = who.as_ref().map(|who| who.user.as_str());
        let got = got.map_err(|refusal| refusal.reason.text());
        assert_eq!(got, expected, "{acting:?} {operation:?}");
    }
    let twice = headers(&[
        ("authorization", &of(&creator)),
        ("authorization", &of(&viewer)),
    ]);
    assert!(tokens().authenticate(&twice, get, UnixMs::now()).is_err());
    let twice = headers(&[
        ("authorization", &service("lms")),
        ("x-acting-user", "bob"),
        ("x-acting-user", "eve"),
    ]);
    assert!(tokens().authenticate(&twice, get, UnixMs::now()).is_err());
    let without_services = Tokens::new(key(1, "kaiwa"));
    let sent = headers(&[("authorization", &service("lms")), ("x-acting-user", "bob")]);
    assert!(
        without_services
            .authenticate(&sent, get, UnixMs::now())
            .is_err()
    );
}

/// Rules that say the same of everybody.
struct Rooms(Result<Verdict, StoreError>);

impl RoomAuthz for Rooms {
    fn check<'a>(
        &'a self,
        _: Asker<'a>,
        _: &'a RoomId,
        _: Action,
    ) -> Answer<'a, Verdict, StoreError> {
        Box::pin(async { self.0.clone() })
    }

    fn epoch<'a>(&'a self, _: &'a RoomId) -> Answer<'a, u64, StoreError> {
        Box::pin(async { Ok(3) })
    }
}

/// Answers as it is told, and notes what it was asked.
struct Hook {
    answer: Mutex<Option<Result<u16, &'static str>>>,
    asked: Mutex<Vec<(String, Option<String>)>>,
}

impl AskHook for Hook {
    fn ask(&self, request: Request<Bytes>) -> Asked<'_> {
        let authorization = request.headers().get("authorization");
        let authorization = authorization.map(|v| v.to_str().expect("text").to_owned());
        let uri = request.uri().to_string();
        self.asked.lock().expect("asked").push((uri, authorization));
        let answer = *self.answer.lock().expect("answer");
        Box::pin(async move {
            let Some(answer) = answer else {
                return std::future::pending().await;
            };
            let status = answer.map_err(str::to_owned)?;
            Ok(StatusCode::from_u16(status).expect("a status"))
        })
    }
}

fn hooked(
    rooms: Result<Verdict, StoreError>,
    answer: Option<Result<u16, &'static str>>,
) -> (HookedRooms, Arc<Hook>, ManualClock) {
    let hook = Arc::new(Hook {
        answer: Mutex::new(answer),
        asked: Mutex::default(),
    });
    let config = HookConfig {
        url: "https://lms.example.org/shield/authed/permissions/{permission}".to_owned(),
        secret: Some(Secret::new("between-us".to_owned())),
    };
    let clock = ManualClock::at(UnixMs(1_000_000));
    let ask = Arc::clone(&hook) as Arc<dyn AskHook>;
    let made = PermissionHook::new(&config, ask, Arc::new(clock.clone())).expect("a hook");
    (HookedRooms::new(Arc::new(Rooms(rooms)), made), hook, clock)
}

fn caller(role: ServerRole) -> Caller {
    Caller {
        user: user("a|b@example.org"),
        role,
        service: None,
        deadline: None,
        request_id: None,
    }
}

async fn decided(
    rooms: &HookedRooms,
    role: ServerRole,
    operation: Operation,
) -> Result<(), ApiError> {
    check(rooms, &caller(role), operation, &room("r_lobby")).await
}

#[tokio::test(start_paused = true)]
async fn role_then_room_then_hook_and_silence_is_no() {
    let down = Err(StoreError::Unavailable("down".to_owned()));
    let denied = Ok(Verdict::Denied("NOT_ROOM_MEMBER"));
    let away = ApiError::Unavailable("the room's rules");
    let no = ApiError::Denied("PERMISSION_DENIED");
    let yes: Result<Verdict, StoreError> = Ok(Verdict::Allowed);
    // The room's answer, the hook's, what comes of it, and whether the hook is asked.
    let table = [
        (yes.clone(), Some(Ok(200)), Ok(()), 1),
        (yes.clone(), Some(Ok(204)), Ok(()), 1),
        (yes.clone(), Some(Ok(401)), Err(no.clone()), 1),
        (yes.clone(), Some(Ok(403)), Err(no), 1),
        (yes.clone(), Some(Ok(404)), Err(ApiError::NotFound), 1),
        (yes.clone(), Some(Ok(302)), Err(away.clone()), 1),
        (yes.clone(), Some(Ok(500)), Err(away.clone()), 1),
        (yes.clone(), Some(Err("refused")), Err(away.clone()), 1),
        (yes, None, Err(away.clone()), 1),
        (
            denied,
            Some(Ok(200)),
            Err(ApiError::Denied("NOT_ROOM_MEMBER")),
            0,
        ),
        (
            Ok(Verdict::Hidden),
            Some(Ok(200)),
            Err(ApiError::NotFound),
            0,
        ),
        (down, Some(Ok(200)), Err(away), 0),
    ];
    for (rooms, hook, expected, asks) in table {
        let said = format!("{rooms:?} {hook:?}");
        let (rooms, hook, _) = hooked(rooms, hook);
        let got = decided(&rooms, ServerRole::Creator, Operation::Create).await;
        assert_eq!(got, expected, "{said}");
        assert_eq!(hook.asked.lock().expect("asked").len(), asks, "{said}");
    }
    let (rooms, hook, _) = hooked(Ok(Verdict::Allowed), Some(Ok(200)));
    let got = decided(&rooms, ServerRole::Viewer, Operation::Create).await;
    assert_eq!(got, Err(ApiError::Denied("ROLE_TOO_LOW")));
    assert!(hook.asked.lock().expect("asked").is_empty());
}

#[tokio::test]
async fn the_hook_is_asked_with_escaped_names_and_its_answer_counts_for_ten_seconds() {
    let (rooms, hook, clock) = hooked(Ok(Verdict::Allowed), Some(Ok(200)));
    let (role, get) = (ServerRole::Viewer, Operation::Get);
    assert_eq!(decided(&rooms, role, get).await, Ok(()));
    let asked = hook.asked.lock().expect("asked").clone();
    let url = "https://lms.example.org/shield/authed/permissions/clips.view?user=a%7Cb%40example.org&room=r_lobby";
    assert_eq!(
        asked,
        [(url.to_owned(), Some("Bearer between-us".to_owned()))]
    );
    *hook.answer.lock().expect("answer") = Some(Ok(403));
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(decided(&rooms, role, get).await, Ok(()));
    clock.advance(Duration::from_millis(1));
    assert!(decided(&rooms, role, get).await.is_err());
    // Silence is not kept: the next one asks again.
    clock.advance(Duration::from_secs(10));
    *hook.answer.lock().expect("answer") = Some(Err("away"));
    assert!(decided(&rooms, role, get).await.is_err());
    *hook.answer.lock().expect("answer") = Some(Ok(200));
    assert_eq!(decided(&rooms, role, get).await, Ok(()));
    assert_eq!(rooms.epoch(&room("r_lobby")).await, Ok(3));
}

#[tokio::test]
async fn who_plays_is_asked_about_each_minute_and_plays_on_for_ten_while_the_hook_is_silent() {
    let (rooms, hook, clock) = hooked(Ok(Verdict::Allowed), Some(Ok(200)));
    let (viewer, lobby) = (user("a|b@example.org"), room("r_lobby"));
    let still = || rooms.still(Some(&viewer), &lobby);
    let asked = || hook.asked.lock().expect("asked").len();
    let answer = |answer| *hook.answer.lock().expect("answer") = Some(answer);
    let ms = Duration::from_millis;
    // Whoever gets a right was asked about: their first minute of segments costs no call.
    let play = decided(&rooms, ServerRole::Viewer, Operation::Playback);
    assert_eq!(play.await, Ok(()));
    answer(Ok(403));
    clock.advance(ms(59_999));
    assert_eq!((still().await, asked()), (Ok(true), 1));
    clock.advance(ms(1));
    for _ in 0..2 {
        assert_eq!(
            (still().await, asked()),
            (Ok(false), 2),
            "the right was taken away"
        );
    }
    clock.advance(ms(60_000));
    answer(Ok(204));
    assert_eq!((still().await, asked()), (Ok(true), 3));

    answer(Err("away"));
    for minute in 1..10 {
        clock.advance(ms(60_000));
        // One asks, the others go by what was said.
        for _ in 0..3 {
            assert_eq!((still().await, asked()), (Ok(true), 3 + minute));
        }
    }
    clock.advance(ms(60_000));
    for _ in 0..2 {
        assert!(still().await.is_err(), "the last yes is too old");
    }
    answer(Ok(200));
    assert_eq!(still().await, Ok(true));
    // Of whom nothing is known, silence is no yes; nor can be asked about a right that names nobody.
    answer(Err("away"));
    let other = user("other");
    assert!(rooms.still(Some(&other), &lobby).await.is_err());
    assert_eq!(rooms.still(None, &lobby).await, Ok(false));
}

#[tokio::test]
async fn the_real_client_calls_no_private_address_and_then_nobody_may() {
    let config = HookConfig {
        url: "https://127.0.0.1/permissions/{permission}".to_owned(),
        secret: None,
    };
    let outbound = Outbound::new(OutboundConfig::default()).expect("a client");
    let clock = Arc::new(ManualClock::at(UnixMs(0)));
    let hook = PermissionHook::new(&config, Arc::new(outbound), clock).expect("a hook");
    let rooms = HookedRooms::new(Arc::new(Rooms(Ok(Verdict::Allowed))), hook);
    let got = decided(&rooms, ServerRole::Admin, Operation::Get).await;
    assert_eq!(got, Err(ApiError::Unavailable("the room's rules")));
}
