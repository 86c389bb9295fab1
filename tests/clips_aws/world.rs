//! MiniStack with a bucket whose objects are told to a queue, MediaConvert's double, a server, and a back end.

use crate::double::Double;
use crate::emulator::{Emulator, Kind};
use crate::support::cid;
use crate::support::client::Client;
use crate::support::server::{Server, Spec};
use crate::support::token::Key;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What an operator makes at Amazon: the bucket, a role for uploaders and one for MediaConvert, queues.
const SETUP: &str = r#"
import boto3, json, sys
def client(name):
    return boto3.client(name, endpoint_url=sys.argv[1], region_name='us-east-1',
                        aws_access_key_id='test', aws_secret_access_key='test')
iam, s3, sqs = client('iam'), client('s3'), client('sqs')
for bucket in ('clips', 'other'):
    s3.create_bucket(Bucket=bucket)
trust = {'Version': '2012-10-17', 'Statement': [
    {'Effect': 'Allow', 'Principal': {'AWS': '*'}, 'Action': 'sts:AssumeRole'}]}
role = iam.create_role(RoleName='upload', AssumeRolePolicyDocument=json.dumps(trust))
may = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': 's3:*', 'Resource': '*'}]}
iam.put_role_policy(RoleName='upload', PolicyName='all', PolicyDocument=json.dumps(may))
urls = {}
for name in ('kaiwa-clip-objects', 'kaiwa-clip-jobs'):
    for queue in (name, name + '-dead'):
        urls[queue] = sqs.create_queue(QueueName=queue)['QueueUrl']
arn = sqs.get_queue_attributes(QueueUrl=urls['kaiwa-clip-objects'], AttributeNames=['QueueArn'])['Attributes']['QueueArn']
leave = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': {'Service': 's3.amazonaws.com'},
         'Action': 'sqs:SendMessage', 'Resource': arn}]}
sqs.set_queue_attributes(QueueUrl=urls['kaiwa-clip-objects'], Attributes={'Policy': json.dumps(leave)})
s3.put_bucket_notification_configuration(Bucket='clips', NotificationConfiguration={'QueueConfigurations': [
    {'QueueArn': arn, 'Events': ['s3:ObjectCreated:*']}]})
print(json.dumps({'role': role['Role']['Arn'], 'queues': urls}))
"#;

/// What signs the back end's tokens.
const SECRET: &[u8; 32] = b"a secret of services, 32 bytes !";

/// The webhook's key.
pub(crate) const WEBHOOK_KEY: &str = "a key of the webhook for tests";

/// Everything but the server.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) double: Double,
    role: String,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let emulator = Emulator::start(Kind::MiniStack).await;
        let made: Value = serde_json::from_str(&emulator.python(SETUP)).unwrap();
        let jobs_queue = made["queues"]["kaiwa-clip-jobs"]
            .as_str()
            .unwrap()
            .to_owned();
        let folder = tempfile::tempdir().unwrap();
        secret(&folder.path().join("service-secret"), SECRET);
        secret(&folder.path().join("webhook-key"), WEBHOOK_KEY.as_bytes());
        generate(folder.path());
        film(&folder.path().join("talk.mp4"));
        Self {
            double: Double::start(&python(), emulator.endpoint(), &jobs_queue),
            role: made["role"].as_str().unwrap().to_owned(),
            emulator,
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server of these settings, on the one data folder.
    pub(crate) fn spec(&self) -> Spec {
        let data = self.path("data");
        std::fs::create_dir_all(&data).unwrap();
        let settings = [
            ("KAIWA_CLIPS__BACKEND", "aws".to_owned()),
            ("KAIWA_CLIPS__SERVICES", services()),
            (
                "KAIWA_CLIPS__SERVICE_SECRET_FILE",
                self.path("service-secret").display().to_string(),
            ),
            ("KAIWA_CLIPS__AWS__REGION", "us-east-1".to_owned()),
            (
                "KAIWA_CLIPS__AWS__ENDPOINT",
                self.emulator.endpoint().to_owned(),
            ),
            ("KAIWA_CLIPS__AWS__BUCKET", "clips".to_owned()),
            ("KAIWA_CLIPS__AWS__PATH_STYLE", "true".to_owned()),
            ("KAIWA_CLIPS__AWS__UPLOAD_ROLE", self.role.clone()),
            (
                "KAIWA_CLIPS__AWS__MEDIACONVERT_ROLE",
                "arn:aws:iam::000000000000:role/transcode".to_owned(),
            ),
            ("KAIWA_CLIPS__AWS__MEDIACONVERT_ENDPOINT", self.double.url()),
            ("KAIWA_CLIPS__AWS__ASK_AFTER_S", "2".to_owned()),
            (
                "KAIWA_CLIPS__AWS__WEBHOOK__API_KEY_FILES",
                format!("[{:?}]", self.path("webhook-key")),
            ),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ];
        let settings = settings.into_iter();
        settings.fold(Spec::new(&data), |spec, (name, value)| {
            spec.with(name, value)
        })
    }

    /// What a back end does at this server: a step of `backend.py`, and what came of it.
    pub(crate) async fn backend(&self, site: &Site, step: Value) -> Value {
        let mut script = json!({
            "grpc": site.server.grpc(),
            "http": format!("http://{}", site.server.address),
            "token": token(),
            "user": "alice",
            "room": site.room,
            "file": self.path("talk.mp4"),
            "other": "other",
            "patience": 120,
        });
        let all = script.as_object_mut().unwrap();
        all.extend(step.as_object().unwrap().clone());
        let mut command = Command::new(python());
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        command
            .arg(here.join("tests/clips_aws/backend.py"))
            .env("PYTHONPATH", self.folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("KAIWA_SCRIPT", script.to_string())
            .stdin(Stdio::null());
        let run = tokio::task::spawn_blocking(move || command.output());
        let output = run.await.unwrap().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{step}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A server, and a room in it.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) room: String,
}

impl Site {
    /// Starts a server, with a new room of alice's.
    pub(crate) async fn start(spec: &Spec) -> Self {
        let server = spec.start();
        let mut alice = Client::connect(&server, "alice").await;
        let room = json!({"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": "a class",
            "visibility": "VISIBILITY_PRIVATE"});
        let made = alice.ok(json!({"roomCreate": room})).await;
        let room = made["room"].as_str().unwrap().to_owned();
        Self { server, room }
    }

    /// Kills it, and starts another one in its place.
    pub(crate) fn killed(mut self, spec: &Spec) -> Self {
        self.server.stop_and_read_log();
        let Self { room, .. } = self;
        Self {
            server: spec.start(),
            room,
        }
    }
}

/// A file that nobody else reads.
fn secret(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn services() -> String {
    let scopes = r#"["clips.read", "clips.write", "clips.play"]"#;
    format!(r#"{{ lms = {{ scopes = {scopes}, acts_for = ["*"] }} }}"#)
}

fn token() -> String {
    let now = i64::try_from(crate::support::now_s()).unwrap();
    let claims = json!({"sub": "lms", "aud": "kaiwa-clips", "iat": now, "exp": now + 3600,
        "name": "lms"});
    Key::new(SECRET.to_vec()).sign(&claims)
}

/// Python with what `make setup-test` installs.
fn python() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = std::env::var_os("KAIWA_VENV").map_or_else(|| here.join(".venv"), PathBuf::from);
    let python = venv.join("bin/python");
    assert!(python.exists(), "no {}: make setup-test", python.display());
    python
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

/// The client's code, of `proto/` alone.
fn generate(folder: &Path) {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut command = Command::new(python());
    command.args(["-m", "grpc_tools.protoc", "-I"]).arg(&proto);
    for kind in ["python_out", "grpc_python_out"] {
        command.arg(format!("--{kind}={}", folder.display()));
    }
    run(command.arg("kaiwa/media/v1/media.proto"));
}

/// Eight seconds with sound, of more than one part.
fn film(path: &Path) {
    let mut command = Command::new("ffmpeg");
    command
        .args("-nostdin -loglevel error -f lavfi -i testsrc2=s=640x360:r=30:d=8".split(' '))
        .args(
            "-f lavfi -i sine=d=8 -vf noise=alls=90:allf=t -c:v libx264 -preset ultrafast"
                .split(' '),
        )
        .args("-b:v 12M -minrate 12M -maxrate 12M -bufsize 6M -pix_fmt yuv420p -c:a aac".split(' '))
        .arg(path);
    run(&mut command);
}
