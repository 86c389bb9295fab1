//! The permission hook over TLS, by the client that the server has: whom it believes, and what silence means.

use crate::support::{room, user};
use kaiwa_common::id::RoomId;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::ServerRole;
use kaiwa_media_pipeline::authz::{HookConfig, HookedRooms, PermissionHook};
use kaiwa_media_pipeline::ports::{Action, Answer, Asker, RoomAuthz, StoreError, Verdict};
use kaiwa_platform::clock::ManualClock;
use kaiwa_platform::outbound::{Addresses, Guard, Outbound, OutboundConfig, Resolve};
use kaiwa_provider_doubles::{Action as Does, Double, Kind, Options, Step};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Everybody may, as far as the room goes.
struct Open;

impl RoomAuthz for Open {
    fn check<'a>(
        &'a self,
        _: Asker<'a>,
        _: &'a RoomId,
        _: Action,
    ) -> Answer<'a, Verdict, StoreError> {
        Box::pin(std::future::ready(Ok(Verdict::Allowed)))
    }

    fn epoch<'a>(&'a self, _: &'a RoomId) -> Answer<'a, u64, StoreError> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

/// Every name leads to this machine.
struct Here;

impl Resolve for Here {
    fn resolve<'a>(&'a self, _: &'a str) -> Addresses<'a> {
        Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
    }
}

/// An HTTPS server with an authority of its own that does this to every request.
async fn server(does: Does) -> Double {
    let double = Double::start(Options::new(Kind::Webpush)).await;
    let double = double.expect("a server");
    double.script(Step::always(does));
    double
}

fn says(status: u16) -> Does {
    Does::Answer {
        status,
        retry_after: None,
        body: String::new(),
    }
}

/// What comes of asking this server by this name, with its authority known or not.
async fn asked(double: &Double, host: &str, is_known: bool) -> Result<Verdict, StoreError> {
    let config = HookConfig {
        url: format!(
            "https://{host}:{}/may/{{permission}}",
            double.address().port()
        ),
        secret: None,
    };
    let outbound = Outbound::new(OutboundConfig {
        guard: Guard::new(&[host]).expect("a name"),
        extra_roots: is_known.then(|| double.ca_pem().as_bytes().to_vec()),
        resolver: Arc::new(Here),
        ..OutboundConfig::default()
    });
    let outbound = Arc::new(outbound.expect("a client"));
    let clock = Arc::new(ManualClock::at(UnixMs(0)));
    let hook = PermissionHook::new(&config, outbound, clock).expect("a hook");
    let (user, role) = (&user("alice"), ServerRole::Creator);
    let rooms = HookedRooms::new(Arc::new(Open), hook);
    rooms
        .check(Asker { user, role }, &room("r_lobby"), Action::View)
        .await
}

fn silent() -> Result<Verdict, StoreError> {
    Err(StoreError::Unavailable(
        "the permission hook gives no answer".to_owned(),
    ))
}

#[tokio::test]
async fn its_own_authority_is_believed_for_its_own_name_alone() {
    let double = server(says(204)).await;
    assert_eq!(
        asked(&double, "localhost", true).await,
        Ok(Verdict::Allowed)
    );
    assert_eq!(double.report().requests, 1);
    let unknown = asked(&double, "localhost", false).await;
    assert_eq!(unknown, silent(), "an authority that nobody named");
    let other = asked(&double, "hook.example.org", true).await;
    assert_eq!(other, silent(), "a certificate for another name");
    assert_eq!(double.report().requests, 1, "neither was told of anybody");
    let no = server(says(403)).await;
    let denied = Verdict::Denied("PERMISSION_DENIED");
    assert_eq!(asked(&no, "localhost", true).await, Ok(denied));
}

#[tokio::test]
async fn a_server_that_takes_the_question_and_is_silent_says_no() {
    let double = server(Does::SlowHead { ms: 3_600_000 }).await;
    let until_asked = async {
        while double.report().requests == 0 {
            tokio::task::yield_now().await;
        }
        // From here on nothing comes but what time brings.
        tokio::time::pause();
    };
    let (answer, ()) = tokio::join!(asked(&double, "localhost", true), until_asked);
    assert_eq!(answer, silent());
    // An end without an answer is none either.
    tokio::time::resume();
    let double = server(Does::Drop).await;
    assert_eq!(asked(&double, "localhost", true).await, silent());
}
