//! The transcoder at MediaConvert: its requests against a golden file, and its behaviour against the double
//! (`tools/fake-mediaconvert`) with the real SDK over real HTTP, objects and queues in MiniStack.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "mediaconvert/bucket.rs"]
mod bucket;
#[path = "mediaconvert/double.rs"]
mod double;
#[path = "../../platform/tests/queue/emulator.rs"]
#[expect(dead_code, reason = "other tests start moto, too")]
mod emulator;
#[path = "mediaconvert/faults.rs"]
mod faults;
#[path = "mediaconvert/finish.rs"]
mod finish;
#[path = "mediaconvert/flow.rs"]
mod flow;
#[path = "mediaconvert/golden.rs"]
mod golden;
#[path = "mediaconvert/heard.rs"]
#[expect(dead_code, reason = "the queue's own tests make answers, too")]
mod heard;
#[path = "mediaconvert/http.rs"]
mod http;
#[path = "mediaconvert/orders.rs"]
mod orders;
#[path = "mediaconvert/world.rs"]
mod world;
