//! A real server's call, with light participants: what is published arrives, each packet once. `KAIWA_BIN` names the
//! server. How long anything takes is not looked at.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy only spares test functions themselves"
)]

use kaiwa_loadtest::call::engine::PeerId;
use kaiwa_loadtest::call::host::Host;
use kaiwa_loadtest::call::host::kaiwa::{Kaiwa, KaiwaPlan};
use kaiwa_loadtest::call::peer::{Plan, Received};
use kaiwa_loadtest::call::source::{AudioPlan, VideoPlan};
use kaiwa_loadtest::call::srtp::Profile;
use kaiwa_loadtest::call::stage::{Stage, Wishes};
use kaiwa_loadtest::chaos::run::find_binary;
use kaiwa_loadtest::chat::Setup;
use std::sync::Arc;
use std::time::Duration;

struct Call {
    stage: Stage,
    host: Host,
}

/// Looks at a participant before something is taken to be broken: a bound on tries, far beyond what a busy
/// machine needs.
const LOOKS: usize = 3_000;

impl Call {
    async fn start() -> Self {
        let setup = Setup {
            binary: find_binary().expect("a server to call"),
            data: None,
        };
        let kaiwa = Kaiwa::start(&setup, &KaiwaPlan::default(), 12)
            .await
            .unwrap();
        Self {
            stage: Stage::new(1, None).unwrap(),
            host: Host::Kaiwa(Box::new(kaiwa)),
        }
    }

    async fn enter(&mut self, plan: Plan) -> PeerId {
        let wishes = Wishes {
            pictures: plan.video_slots,
            size: (1_280, 720),
        };
        self.host.enter(&self.stage, plan, wishes).await.unwrap()
    }

    /// Until something is true of what a participant has.
    async fn until(&self, peer: PeerId, is_so: impl Fn(&Received) -> bool) -> Received {
        for _ in 0..LOOKS {
            let got = self.stage.received(&[peer], None).await.unwrap()[0];
            if is_so(&got) {
                return got;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let got = self.stage.received(&[peer], None).await;
        panic!("it never came to be: {got:?}");
    }

    /// Silences the publishers; then what each of the others has at the end.
    async fn end(self, publishers: &[PeerId], others: &[PeerId]) -> Vec<Received> {
        let last = Arc::new(self.stage.silence(publishers).await.unwrap());
        let mut all = Vec::new();
        for _ in 0..LOOKS {
            all = self
                .stage
                .received(others, Some(last.clone()))
                .await
                .unwrap();
            if all
                .iter()
                .all(|got| got.video.missing() + got.audio.missing() == 0)
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(self.host.faults(), Vec::<String>::new());
        self.host.end(&self.stage).await.unwrap();
        all
    }
}

/// A picture and, of the first, a voice: all together less than what any path is taken to carry at first.
fn camera(number: u32, profile: Profile) -> Plan {
    Plan {
        number,
        video: Some(VideoPlan::bursts(30, 300, 2)),
        audio: (number == 0).then(AudioPlan::default),
        profile,
        ..Plan::default()
    }
}

fn viewer(profile: Profile) -> Plan {
    Plan {
        audio_slots: 2,
        video_slots: 2,
        profile,
        ..Plan::default()
    }
}

fn check(got: &Received) {
    assert_eq!(
        (got.video.missing(), got.video.duplicates),
        (0, 0),
        "{got:?}"
    );
    assert_eq!(
        (got.audio.missing(), got.audio.duplicates),
        (0, 0),
        "{got:?}"
    );
    assert_eq!((got.corrupt, got.undecryptable), (0, 0), "{got:?}");
    assert_eq!((got.unknown, got.foreign), (0, 0), "{got:?}");
    assert_eq!(got.pictures.dropped, 0, "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_arrives_once_whoever_comes_and_goes() {
    let mut call = Call::start().await;
    let first = call.enter(camera(0, Profile::Gcm)).await;
    let early = call.enter(viewer(Profile::Gcm)).await;
    call.until(early, |got| {
        got.video.unique >= 40 && got.audio.unique >= 60
    })
    .await;
    // Another publisher, and a viewer with the other profile.
    let second = call.enter(camera(1, Profile::Sha1)).await;
    let late = call.enter(viewer(Profile::Sha1)).await;
    for peer in [early, late] {
        let both = |got: &Received| got.video.runs >= 2 && got.audio.unique >= 60;
        let before = call.until(peer, both).await.video.unique;
        call.until(peer, |got| got.video.unique >= before + 80)
            .await;
    }
    let all = call.end(&[first, second], &[early, late]).await;
    for got in &all {
        check(got);
        assert!(got.pictures.decoded >= 40, "{got:?}");
    }
}
