//! What each command of notifications is refused for.

use super::*;

const DEVICE: &str = "0b7e3c1a-52f4-4b0e-9d0f-3f1f0f6a7c11";

fn web_push(endpoint: &str, p256dh: Vec<u8>, auth: Vec<u8>) -> Command {
    register(
        DEVICE,
        "Firefox",
        Some(WireAddress::WebPush(wire::WebPushAddress {
            endpoint: endpoint.to_owned(),
            p256dh,
            auth,
        })),
    )
}

fn register(device: &str, name: &str, address: Option<WireAddress>) -> Command {
    Command::DeviceRegister(wire::DeviceRegister {
        device_id: device.to_owned(),
        name: name.to_owned(),
        address,
    })
}

fn fcm(token: &str) -> Option<WireAddress> {
    Some(WireAddress::Fcm(wire::FcmAddress {
        token: token.to_owned(),
    }))
}

fn apns(token: &str, topic: &str) -> Command {
    let address = WireAddress::Apns(wire::ApnsAddress {
        token: token.to_owned(),
        is_sandbox: false,
        topic: topic.to_owned(),
    });
    register(DEVICE, "", Some(address))
}

fn sns(arn: &str) -> Command {
    let address = WireAddress::Sns(wire::SnsAddress {
        endpoint_arn: arn.to_owned(),
    });
    register(DEVICE, "", Some(address))
}

fn quiet(from_min: u32, until_min: u32, zone: &str) -> Command {
    let quiet = wire::QuietHours {
        from_min,
        until_min,
        zone: zone.to_owned(),
        lets_calls: true,
        lets_mentions: false,
    };
    Command::DeviceSet(wire::DeviceSet {
        device_id: DEVICE.to_owned(),
        settings: Some(wire::DeviceSettings {
            quiet: Some(quiet),
            ..Default::default()
        }),
    })
}

fn key() -> Vec<u8> {
    let mut key = vec![7; 65];
    key[0] = 4;
    key
}

/// The code, and the field or whatever else is told.
fn refusal(command: Command) -> (ErrorCode, String) {
    let refusal = parse(command).expect_err("a refusal");
    let detail = refusal.details.into_iter().next();
    (refusal.code, detail.map(|(_, v)| v).unwrap_or_default())
}

fn field(command: Command) -> String {
    let (code, field) = refusal(command);
    assert_eq!(code, ErrorCode::InvalidArgument);
    field
}

#[test]
fn a_subscription_is_a_url_and_keys_of_their_lengths() {
    let endpoint = "https://push.example/wpush/v2/gAAAA";
    let parsed = parse(web_push(endpoint, key(), vec![1; 16]));
    let Ok(Request::Push(PushCommand::Register(registration))) = parsed else {
        panic!("{parsed:?}");
    };
    assert_eq!(registration.device.0.to_string(), DEVICE);
    for wrong in [vec![], vec![4; 64], vec![4; 66], vec![2; 65], vec![4; 33]] {
        assert_eq!(field(web_push(endpoint, wrong, vec![1; 16])), "p256dh");
    }
    for wrong in [0, 15, 17, 1_000] {
        assert_eq!(field(web_push(endpoint, key(), vec![1; wrong])), "auth");
    }
}

#[test]
fn an_endpoint_is_https_with_a_host_and_within_its_bound() {
    let at = |endpoint: &str| web_push(endpoint, key(), vec![1; 16]);
    for wrong in [
        "",
        "push.example/x",
        "/x",
        "https://",
        "https://user:pw@push.example/x",
        "https://push.example@10.0.0.1/x",
        "https://push.example/x#y",
        "https://push.example/a b",
        "https://push.example/\r\nX: y",
        "https://プッシュ.example/",
        "mailto:a@push.example",
    ] {
        assert_eq!(field(at(wrong)), "endpoint", "{wrong}");
    }
    for plain in [
        "http://push.example/x",
        "ftp://push.example/x",
        "ws://push.example/",
    ] {
        let refused = (ErrorCode::AddressRefused, "not https".to_owned());
        assert_eq!(refusal(at(plain)), refused, "{plain}");
    }
    let fill = |len: usize| {
        let start = "https://push.example/";
        format!("{start}{}", "x".repeat(len - start.len()))
    };
    assert!(parse(at(&fill(PUSH_ENDPOINT_BYTES))).is_ok());
    let long = refusal(at(&fill(PUSH_ENDPOINT_BYTES + 1)));
    assert_eq!(long, (ErrorCode::TooLarge, PUSH_ENDPOINT_BYTES.to_string()));
}

#[test]
fn tokens_have_their_characters_and_bounds() {
    let digits = "0123456789abcdefABCDEF".repeat(3);
    let parsed = parse(apns(&digits[..64], "com.example.app.voip"));
    let Ok(Request::Push(PushCommand::Register(registration))) = parsed else {
        panic!("{parsed:?}");
    };
    let Address::Apns { token, .. } = registration.address else {
        panic!("another channel");
    };
    assert_eq!(token.0, digits[..64].to_lowercase(), "one token, one form");
    for wrong in ["", &digits[..62], &digits[..65], &"z".repeat(64)] {
        assert_eq!(field(apns(wrong, "a")), "token", "{wrong}");
    }
    assert_eq!(refusal(apns(&"a".repeat(202), "a")).0, ErrorCode::TooLarge);
    for wrong in ["", "a/b", "a\r\nb", &"a".repeat(PUSH_TOPIC_BYTES + 1)] {
        assert_eq!(field(apns(&digits[..64], wrong)), "topic", "{wrong}");
    }
    assert!(parse(register(DEVICE, "", fcm("a:b-c_D"))).is_ok());
    for wrong in ["", "a b", "é"] {
        assert_eq!(field(register(DEVICE, "", fcm(wrong))), "token", "{wrong}");
    }
    let long = fcm(&"a".repeat(PUSH_TOKEN_BYTES + 1));
    assert_eq!(refusal(register(DEVICE, "", long)).0, ErrorCode::TooLarge);
    assert!(
        parse(sns(
            "arn:aws:sns:eu-west-1:123456789012:endpoint/GCM/app/0a"
        ))
        .is_ok()
    );
    for wrong in [
        "",
        "arn:aws:sqs:eu-west-1:123456789012:endpoint/GCM/app/0a",
        "arn:aws:sns:eu-west-1:123456789012:topic",
        "arn:aws:sns:::endpoint/GCM/app/0a",
        "endpoint/GCM",
    ] {
        assert_eq!(field(sns(wrong)), "endpoint_arn", "{wrong}");
    }
}

#[test]
fn a_device_has_a_random_uuid_a_short_name_and_an_address() {
    for wrong in [
        "",
        "web-1",
        "00000000-0000-0000-0000-000000000000",
        "0b7e3c1a52f44b0e9d0f3f1f0f6a7c11",
        "{0b7e3c1a-52f4-4b0e-9d0f-3f1f0f6a7c11}",
        "0b7e3c1a-52f4-4b0e-9d0f-3f1f0f6a7c1g",
    ] {
        assert_eq!(field(register(wrong, "", fcm("t"))), "device_id", "{wrong}");
        let remove = wire::DeviceRemove {
            device_id: wrong.to_owned(),
        };
        assert_eq!(field(Command::DeviceRemove(remove)), "device_id");
    }
    assert!(parse(register(DEVICE, &"é".repeat(50), fcm("t"))).is_ok());
    assert_eq!(field(register(DEVICE, &"é".repeat(51), fcm("t"))), "name");
    assert_eq!(field(register(DEVICE, "a\nb", fcm("t"))), "name");
    assert_eq!(field(register(DEVICE, "", None)), "address");
    let set = wire::DeviceSet {
        device_id: DEVICE.to_owned(),
        settings: None,
    };
    assert_eq!(field(Command::DeviceSet(set)), "settings");
}

#[test]
fn quiet_hours_are_two_minutes_of_a_day_in_a_zone() {
    assert!(parse(quiet(1_320, 420, "America/Argentina/Buenos_Aires")).is_ok());
    assert_eq!(field(quiet(1_440, 420, "UTC")), "from_min");
    assert_eq!(field(quiet(0, u32::MAX, "UTC")), "until_min");
    assert_eq!(field(quiet(60, 60, "UTC")), "until_min");
    for wrong in [
        "",
        "../etc/passwd",
        "Asia/Tokyo\0",
        &"A".repeat(PUSH_ZONE_BYTES + 1),
    ] {
        assert_eq!(field(quiet(0, 60, wrong)), "zone", "{wrong}");
    }
}

#[test]
fn settings_name_levels_that_there_are_and_times_after_1970() {
    let set = |level| {
        Command::NotifySet(wire::NotifySet {
            level,
            ..Default::default()
        })
    };
    assert!(parse(set(wire::NotifyLevel::Mentions.into())).is_ok());
    for wrong in [0, 4, -1] {
        assert_eq!(field(set(wrong)), "level");
    }
    let set_room = |room: &str, level, muted_until_ms| {
        Command::NotifySetRoom(wire::NotifySetRoom {
            room: room.to_owned(),
            level,
            muted_until_ms,
        })
    };
    let room = kaiwa_common::id::RoomId::parse("r_1").expect("an id");
    let default = PushCommand::SetRoom(room, RoomSettings::default());
    assert_eq!(
        default.needs_room(),
        None,
        "what one has left can be cleared"
    );
    assert_eq!(parse(set_room("r_1", 0, 0)), Ok(Request::Push(default)));
    assert!(parse(set_room("r_1", 3, i64::MAX)).is_ok());
    assert_eq!(field(set_room("", 0, 0)), "room");
    assert_eq!(field(set_room("r_1", 9, 0)), "level");
    assert_eq!(field(set_room("r_1", 0, -1)), "muted_until_ms");
}

#[test]
fn decisions_are_asked_for_up_to_a_bound() {
    let explain = |room: &str, limit| {
        parse(Command::NotifyExplain(wire::NotifyExplain {
            room: room.to_owned(),
            limit,
        }))
    };
    for (asked, given) in [(0, PUSH_DECISIONS), (7, 7), (u32::MAX, PUSH_DECISIONS)] {
        let command = PushCommand::Explain {
            room: None,
            limit: given as usize,
        };
        assert_eq!(explain("", asked), Ok(Request::Push(command)));
    }
    assert!(explain("no room", 1).is_err());
}

#[test]
fn nothing_of_an_address_is_shown_when_it_is_printed() {
    let parsed = parse(web_push(
        "https://push.example/secret-path",
        key(),
        vec![9; 16],
    ));
    let printed = format!("{parsed:?}");
    assert!(!printed.contains("secret-path"), "{printed}");
    assert!(!printed.contains("Firefox"), "{printed}");
}
