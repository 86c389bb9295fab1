//! What both documents ask of descriptions.

use crate::world::{World, encoder, player};

fn lines(sdp: &str, line: &str) -> usize {
    sdp.lines().filter(|one| *one == line).count()
}

/// The answer to this offer.
async fn answered(world: &World, kind: &str, sdp: &str) -> String {
    let token = world.member("somebody").await;
    let answer = world.post(&world.path(kind), &token, sdp).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body
}

/// Is refused with this status.
async fn refused(world: &World, kind: &str, sdp: &str, status: u16) {
    let token = world.member("somebody").await;
    let answer = world.post(&world.path(kind), &token, sdp).await;
    assert_eq!(answer.status, status, "{sdp}\n{}", answer.body);
    let reason = answer.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(!reason.is_empty());
}

#[tokio::test]
async fn an_encoder_is_answered_recvonly_whether_it_offers_sendonly_or_sendrecv() {
    let world = World::new().await;
    let sdp = encoder().sdp();
    for offered in [sdp.clone(), sdp.replace("a=sendonly", "a=sendrecv")] {
        let answer = answered(&world, "whip", &offered).await;
        assert_eq!(lines(&answer, "a=recvonly"), 2, "{answer}");
    }
    for wrong in ["recvonly", "inactive"] {
        refused(
            &world,
            "whip",
            &sdp.replace("a=sendonly", &format!("a={wrong}")),
            422,
        )
        .await;
    }
}

#[tokio::test]
async fn a_player_is_answered_sendonly_whether_it_offers_recvonly_or_sendrecv() {
    let world = World::new().await;
    let sdp = player().sdp();
    for offered in [sdp.clone(), sdp.replace("a=recvonly", "a=sendrecv")] {
        let answer = answered(&world, "whep", &offered).await;
        assert_eq!(lines(&answer, "a=sendonly"), 2, "{answer}");
    }
    for wrong in ["sendonly", "inactive"] {
        refused(
            &world,
            "whep",
            &sdp.replace("a=recvonly", &format!("a={wrong}")),
            422,
        )
        .await;
    }
}

#[tokio::test]
async fn all_is_one_bundle_with_rtcp_in_it() {
    let world = World::new().await;
    for (kind, sdp) in [("whip", encoder().sdp()), ("whep", player().sdp())] {
        let answer = answered(&world, kind, &sdp).await;
        assert_eq!(lines(&answer, "a=group:BUNDLE 0 1"), 1, "{answer}");
        assert_eq!(lines(&answer, "a=rtcp-mux"), 2);
        assert_eq!(lines(&answer, "a=rtcp-mux-only"), 2);
        assert_eq!(lines(&answer, "a=ice-lite"), 1);
        assert!(answer.contains("a=setup:passive\r\n"));
        let unbundled = sdp.replace("a=group:BUNDLE 0 1\r\n", "");
        refused(&world, kind, &unbundled, 422).await;
        let apart = sdp.replace("a=rtcp-mux\r\n", "");
        refused(&world, kind, &apart, 422).await;
    }
}

#[tokio::test]
async fn an_offer_has_one_stream_with_one_track_of_a_kind() {
    let world = World::new().await;
    let sdp = encoder().sdp();
    let with = |audio: &str, video: &str| {
        sdp.replace("a=mid:0\r\n", &format!("a=mid:0\r\na=msid:{audio} a\r\n"))
            .replace("a=mid:1\r\n", &format!("a=mid:1\r\na=msid:{video} v\r\n"))
    };
    answered(&world, "whip", &with("one", "one")).await;
    refused(&world, "whip", &with("one", "two"), 422).await;
    let twice = sdp.replace(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "m=video 9 UDP/TLS/RTP/SAVPF 111",
    );
    refused(&world, "whip", &twice, 422).await;
    let nothing = sdp.split("m=").next().unwrap();
    refused(
        &world,
        "whip",
        &nothing.replace("a=group:BUNDLE 0 1\r\n", ""),
        422,
    )
    .await;
    let data = sdp.clone()
        + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\n";
    refused(&world, "whip", &data, 422).await;
}

#[tokio::test]
async fn a_players_tracks_are_of_one_stream() {
    let world = World::new().await;
    let answer = answered(&world, "whep", &player().sdp()).await;
    let streams: Vec<&str> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("a=msid:")?.split(' ').next())
        .collect();
    assert_eq!(streams.len(), 2, "{answer}");
    assert_eq!(streams[0], streams[1]);
}

#[tokio::test]
async fn all_m_lines_are_answered_or_none() {
    let mut world = World::new().await;
    let unknown = encoder().sdp().replace("VP8/90000", "H261/90000");
    refused(&world, "whip", &unknown, 422).await;
    let unknown = player().sdp().replace("opus/48000/2", "L16/44100");
    refused(&world, "whep", &unknown, 422).await;
    assert!(world.roster().await.is_empty(), "nothing is left of them");
}

#[tokio::test]
async fn whoever_opens_dtls_may_say_so_or_leave_it_to_the_server() {
    let world = World::new().await;
    let sdp = encoder().sdp();
    for (offered, wanted) in [("active", "passive"), ("passive", "active")] {
        let sdp = sdp.replace("a=setup:actpass", &format!("a=setup:{offered}"));
        let answer = answered(&world, "whip", &sdp).await;
        assert_eq!(
            lines(&answer, &format!("a=setup:{wanted}")),
            2,
            "for all, and for the m-line: {answer}"
        );
    }
    let nobody = sdp.replace("a=setup:actpass", "a=setup:holdconn");
    refused(&world, "whip", &nobody, 422).await;
    let lite = sdp.replacen("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n", 1);
    refused(&world, "whip", &lite, 422).await;
}

#[tokio::test]
async fn a_simulcast_is_answered_by_its_rids() {
    let world = World::new().await;
    let layers = "a=rid:l send\r\na=rid:h send\r\na=simulcast:send l;h\r\n";
    let sdp = encoder().sdp().replace("a=ssrc:8 cname:c\r\n", layers);
    let answer = answered(&world, "whip", &sdp).await;
    assert_eq!(lines(&answer, "a=simulcast:recv l;h"), 1, "{answer}");
    assert_eq!(lines(&answer, "a=rid:h recv"), 1);
}
