//! A ring reaches every device at once, and its end stops it on all of them.

use super::world::{World, browser, direct, next, payload, register};
use crate::support::client::{Client, int};
use crate::support::server::Server;
use kaiwa_provider_doubles::Delivery;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::broadcast::Receiver;

/// Somebody with five devices, and with one open window.
struct Rung {
    window: Client,
    name: String,
    /// What each service accepts, and how many of their devices it has.
    services: Vec<(Receiver<Delivery>, usize)>,
    devices: Vec<String>,
}

impl Rung {
    async fn new(world: &World, server: &Server, no: u8) -> Self {
        let name = format!("rung-{no}");
        let mut window = Client::connect(server, &name).await;
        let mut devices = vec![
            browser(&mut window, &world.push).await,
            browser(&mut window, &world.other).await,
        ];
        let topic = world.apns.credentials()["topic"]
            .as_str()
            .unwrap()
            .to_owned();
        for (digit, topic) in [("a", topic.clone()), ("b", format!("{topic}.voip"))] {
            let token = format!("{no:02x}{}", digit.repeat(62));
            register(
                &mut window,
                json!({"apns": {"token": token, "topic": topic}}),
            )
            .await;
            devices.push(token);
        }
        let token = format!("fcm-token-of-somebody-{no}");
        register(&mut window, json!({"fcm": {"token": token}})).await;
        devices.push(token);
        let services = [
            (&world.push, 1),
            (&world.other, 1),
            (&world.apns, 2),
            (&world.fcm, 1),
        ];
        Self {
            window,
            name,
            services: services.map(|(of, n)| (of.accepted(), n)).into(),
            devices,
        }
    }

    /// The next the window hears of the ringing.
    async fn hears(&mut self) -> Value {
        self.window.push("callRinging").await
    }

    /// Of each device the collapse key of the one push of this class, and the call's name in it.
    async fn all_get(&mut self, class: &str) -> Rings {
        let mut got = BTreeMap::new();
        for (accepted, count) in &mut self.services {
            let mut left = *count;
            while left > 0 {
                let delivery = next(accepted).await;
                if !self.devices.contains(&delivery.device) {
                    continue;
                }
                let told = payload(&delivery);
                let told = members(&told);
                assert_eq!(told["class"], json!(class), "{told}");
                let call = told["call"].as_str().unwrap().to_owned();
                assert!(!delivery.collapse.is_empty(), "{delivery:?}");
                let before = got.insert(delivery.device, (delivery.collapse, call));
                assert_eq!(before, None, "twice");
                left -= 1;
            }
        }
        assert_eq!(got.len(), 5);
        got
    }
}

/// The members of the protocol: APNs has them in `kaiwa`, FCM in `data`.
fn members(told: &Value) -> &Value {
    let places = [&told["kaiwa"], &told["data"]];
    places.into_iter().find(|at| at.is_object()).unwrap_or(told)
}

/// By device, the collapse key and the call's name.
type Rings = BTreeMap<String, (String, String)>;

/// Somebody calls somebody: the window and all devices ring.
async fn ring(world: &World, server: &Server, no: u8) -> (Client, Rung, String, Rings) {
    let mut rung = Rung::new(world, server, no).await;
    let mut caller = Client::connect(server, &format!("caller-{no}")).await;
    let room = direct(&mut caller, &rung.name).await;
    caller.ok(json!({"callJoin": {"room": room}})).await;
    caller.ok(json!({"callRing": {"room": room}})).await;
    let heard = rung.hears().await;
    assert!(int(&heard["untilMs"]) > 0, "{heard}");
    let rings = rung.all_get("call").await;
    (caller, rung, room, rings)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_on_one_device_stops_all_others() {
    let world = World::new().await;
    let server = world.start();
    let (_caller, mut rung, room, rings) = ring(&world, &server, 1).await;
    let mut phone = Client::connect(&server, &rung.name).await;
    phone.ok(json!({"callJoin": {"room": room}})).await;
    let heard = rung.hears().await;
    assert_eq!(heard["outcome"], json!("answered"));
    assert_eq!(rung.all_get("call_over").await, rings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_on_one_device_stops_all_others() {
    let world = World::new().await;
    let server = world.start();
    let (mut caller, mut rung, room, rings) = ring(&world, &server, 2).await;
    let mut phone = Client::connect(&server, &rung.name).await;
    phone.ok(json!({"callDecline": {"room": room}})).await;
    let heard = rung.hears().await;
    assert_eq!(heard["outcome"], json!("declined"));
    let told = caller.push("callRinging").await;
    assert_eq!(told["outcome"], json!("declined"));
    assert_eq!(rung.all_get("call_over").await, rings);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobodys_answer_ends_it_everywhere() {
    let world = World::new().await;
    // Long enough for all of them to be rung on a busy machine.
    let server = world.spec().with("KAIWA_LIMITS__CALL_RING_S", 10).start();
    let (mut caller, mut rung, _, rings) = ring(&world, &server, 3).await;
    assert_eq!(rung.all_get("call_over").await, rings);
    assert_eq!(rung.hears().await["outcome"], json!("timed_out"));
    let told = caller.push("callRinging").await;
    assert_eq!(told["outcome"], json!("timed_out"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_ends_it_everywhere() {
    let world = World::new().await;
    let server = world.start();
    let (mut caller, mut rung, room, rings) = ring(&world, &server, 4).await;
    caller.ok(json!({"callLeave": {"room": room}})).await;
    assert_eq!(rung.hears().await["outcome"], json!("cancelled"));
    assert_eq!(rung.all_get("call_over").await, rings);
}
