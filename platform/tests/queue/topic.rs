//! SNS to SQS: raw delivery, filters, leave to send, and errors by what a caller can do.

use super::emulator::{Emulator, Kind, config};
use super::world::{MINUTE, bodies, receive_all, text};
use kaiwa_platform::queue::aws::{QueueLayout, SnsTopic, SqsQueue, Wired, wire};
use kaiwa_platform::queue::{
    Delivery, MESSAGE_BYTES, Outgoing, Queue, QueueError, SendError, Topic,
};
use std::time::Duration;

fn event(body: &str, class: &str) -> Outgoing {
    let mut event = text(body);
    event
        .attributes
        .insert("class".to_owned(), class.to_owned());
    event
}

struct Scene {
    config: aws_config::SdkConfig,
    wired: Wired,
    topic: SnsTopic,
    _emulator: Emulator,
}

impl Scene {
    async fn new(kind: Kind, queues: &[QueueLayout]) -> Self {
        let emulator = Emulator::start(kind).await;
        let config = emulator.config().await;
        let wired = wire(&config, "events", queues).await.unwrap();
        let again = wire(&config, "events", queues).await.unwrap();
        assert_eq!(again, wired, "doing it again changes nothing");
        Self {
            topic: SnsTopic::at(&config, &wired.topic_arn),
            config,
            wired,
            _emulator: emulator,
        }
    }

    fn queue(&self, name: &str) -> SqsQueue {
        SqsQueue::at(&self.config, &self.wired.queues[name])
    }

    async fn publish(&self, batch: Vec<Outgoing>) {
        let results = self.topic.publish(batch).await.unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
}

async fn now(queue: &SqsQueue) -> Vec<Delivery> {
    queue.receive(10, Duration::ZERO, MINUTE).await.unwrap()
}

async fn events_come_raw_and_filtered(kind: Kind) {
    let calls = QueueLayout {
        filter: Some(r#"{"class": ["call"]}"#.to_owned()),
        ..QueueLayout::subscribed("calls")
    };
    let scene = Scene::new(kind, &[QueueLayout::subscribed("events"), calls]).await;
    let batch = ["message", "call", "mention"].map(|class| event(&format!("a {class}"), class));
    scene.publish(batch.to_vec()).await;
    let all = receive_all(&scene.queue("events"), 3).await;
    assert_eq!(bodies(&all), ["a call", "a mention", "a message"]);
    let call = all
        .iter()
        .find(|delivery| delivery.body == "a call")
        .unwrap();
    assert_eq!(
        call.attributes,
        [("class".to_owned(), "call".to_owned())].into()
    );
    assert_eq!(
        bodies(&receive_all(&scene.queue("calls"), 1).await),
        ["a call"]
    );
    assert_eq!(now(&scene.queue("calls")).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_raw_and_filtered_on_ministack() {
    events_come_raw_and_filtered(Kind::MiniStack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_raw_and_filtered_on_moto() {
    events_come_raw_and_filtered(Kind::Moto).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_is_taken_off_where_raw_delivery_was_forgotten() {
    let scene = Scene::new(Kind::MiniStack, &[QueueLayout::subscribed("events")]).await;
    let sns = aws_sdk_sns::Client::new(&scene.config);
    let subscriptions = sns.list_subscriptions_by_topic();
    let found = subscriptions
        .topic_arn(&scene.wired.topic_arn)
        .send()
        .await
        .unwrap();
    let arn = found.subscriptions()[0].subscription_arn().unwrap();
    let forget = sns.set_subscription_attributes().subscription_arn(arn);
    let forget = forget
        .attribute_name("RawMessageDelivery")
        .attribute_value("false");
    forget.send().await.unwrap();
    scene.publish(vec![event("{\"in\": \"it\"}", "call")]).await;
    let delivery = receive_all(&scene.queue("events"), 1).await.remove(0);
    assert_eq!(delivery.body, "{\"in\": \"it\"}");
    assert_eq!(delivery.attributes["class"], "call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_leave_nothing_is_delivered() {
    let layouts = ["with", "without"].map(QueueLayout::subscribed);
    let scene = Scene::new(Kind::MiniStack, &layouts).await;
    let sqs = aws_sdk_sqs::Client::new(&scene.config);
    let policy = aws_sdk_sqs::types::QueueAttributeName::Policy;
    let revoke = sqs
        .set_queue_attributes()
        .queue_url(&scene.wired.queues["without"]);
    revoke.attributes(policy, "").send().await.unwrap();
    scene.publish(vec![event("one", "call")]).await;
    receive_all(&scene.queue("with"), 1).await;
    assert_eq!(now(&scene.queue("without")).await, []);
    // Wiring mends it.
    wire(&scene.config, "events", &layouts).await.unwrap();
    scene.publish(vec![event("two", "call")]).await;
    assert_eq!(
        bodies(&receive_all(&scene.queue("without"), 1).await),
        ["two"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_or_invalid_event_takes_no_other_with_it() {
    let scene = Scene::new(Kind::MiniStack, &[QueueLayout::subscribed("events")]).await;
    let large = "x".repeat(MESSAGE_BYTES - "classStringcall".len());
    let batch = vec![
        event("one", "call"),
        event(&large, "call"),
        event("\u{1}", "call"),
        event(&format!("{large}x"), "call"),
        event("two", "call"),
    ];
    let results = scene.topic.publish(batch).await.unwrap();
    for (place, result) in results.iter().enumerate() {
        match place {
            2 | 3 => assert!(matches!(result, Err(SendError::Invalid(_))), "{result:?}"),
            _ => assert_eq!(*result, Ok(()), "{place}"),
        }
    }
    let received = receive_all(&scene.queue("events"), 3).await;
    assert_eq!(bodies(&received), ["one", "two", large.as_str()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_whether_trying_again_helps() {
    let emulator = Emulator::start(Kind::MiniStack).await;
    let config_here = emulator.config().await;
    let missing = SqsQueue::named(&config_here, "missing").await;
    assert!(
        matches!(missing, Err(QueueError::Refused(_))),
        "{missing:?}"
    );
    let wired = wire(&config_here, "events", &[QueueLayout::direct("jobs")])
        .await
        .unwrap();
    let stranger = emulator.config_of_a_stranger().await;
    let denied = SqsQueue::at(&stranger, &wired.queues["jobs"]).depth().await;
    assert!(matches!(denied, Err(QueueError::Refused(_))), "{denied:?}");
    let no_topic = SnsTopic::at(&config_here, "arn:aws:sns:us-east-1:000000000000:none");
    let no_topic = no_topic.publish(vec![event("lost", "call")]).await;
    assert!(
        matches!(no_topic, Err(QueueError::Refused(_))),
        "{no_topic:?}"
    );
    drop(emulator);
    // Nobody listens there any more.
    let away = SqsQueue::at(&config_here, &wired.queues["jobs"])
        .depth()
        .await;
    assert!(matches!(away, Err(QueueError::Unavailable(_))), "{away:?}");
    let nowhere = config("http://127.0.0.1:9", "test").await;
    let nowhere = SqsQueue::named(&nowhere, "jobs").await;
    assert!(
        matches!(nowhere, Err(QueueError::Unavailable(_))),
        "{nowhere:?}"
    );
}
