//! MiniStack with a bucket whose objects are told to a queue, MediaConvert's double, a server, and a back end.

use crate::double::Double;
use crate::emulator::{Emulator, Kind};
use crate::support::cid;
use crate::support::client::Client;
use crate::support::server::{BINARY, Server, Spec};
use crate::support::token::Key;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What an operator makes at Amazon: the bucket, and a role for uploaders that may do everything with it: what narrows
/// their rights is the session alone.
const SETUP: &str = r#"
import boto3, json, sys
def client(name):
    return boto3.client(name, endpoint_url=sys.argv[1], region_name='us-east-1',
                        aws_access_key_id='test', aws_secret_access_key='test')
iam, s3 = client('iam'), client('s3')
for bucket in ('clips', 'other'):
    s3.create_bucket(Bucket=bucket)
trust = {'Version': '2012-10-17', 'Statement': [
    {'Effect': 'Allow', 'Principal': {'AWS': '*'}, 'Action': 'sts:AssumeRole'}]}
role = iam.create_role(RoleName='upload', AssumeRolePolicyDocument=json.dumps(trust))
may = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': 's3:*', 'Resource': '*'}]}
iam.put_role_policy(RoleName='upload', PolicyName='all', PolicyDocument=json.dumps(may))
print(role['Role']['Arn'])
"#;

/// The bucket tells of its objects; the queue is there by then, and lets it.
const TELLS: &str = r#"
import boto3, sys
def client(name):
    return boto3.client(name, endpoint_url=sys.argv[1], region_name='us-east-1',
                        aws_access_key_id='test', aws_secret_access_key='test')
s3, sqs = client('s3'), client('sqs')
url = sqs.get_queue_url(QueueName='kaiwa-clip-objects')['QueueUrl']
arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=['QueueArn'])['Attributes']['QueueArn']
s3.put_bucket_notification_configuration(Bucket='clips', NotificationConfiguration={'QueueConfigurations': [
    {'QueueArn': arn, 'Events': ['s3:ObjectCreated:*']}]})
print(sqs.get_queue_url(QueueName='kaiwa-clip-jobs')['QueueUrl'])
"#;

/// What signs the back end's tokens.
const SECRET: &[u8; 32] = b"a secret of services, 32 bytes !";

/// The webhook's key.
pub(crate) const WEBHOOK_KEY: &str = "a key of the webhook for tests";

/// Everything but the server.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) double: Double,
    settings: Vec<(&'static str, String)>,
    folder: tempfile::TempDir,
}

impl World {
    /// With clips in this table of DynamoDB, or in the data folder.
    pub(crate) async fn new(table: Option<&'static str>) -> Self {
        let emulator = Emulator::start(Kind::MiniStack).await;
        let role = emulator.python(SETUP);
        let folder = tempfile::tempdir().unwrap();
        secret(&folder.path().join("service-secret"), SECRET);
        secret(&folder.path().join("webhook-key"), WEBHOOK_KEY.as_bytes());
        std::fs::create_dir_all(folder.path().join("data")).unwrap();
        generate(folder.path());
        film(&folder.path().join("talk.mp4"));
        let settings = settings(folder.path(), emulator.endpoint(), &role, table);
        let mut create = Command::new(BINARY);
        create.args(["queues", "create", "--data"]);
        create.arg(folder.path().join("data"));
        create.envs(settings.iter().map(|(name, value)| (name, value)));
        run(&mut create);
        let jobs = emulator.python(TELLS);
        Self {
            double: Double::start(&python(), emulator.endpoint(), &jobs),
            settings,
            emulator,
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server of these settings, on the one data folder.
    pub(crate) fn spec(&self) -> Spec {
        let settings = self.settings.iter();
        let spec = settings.fold(Spec::new(&self.path("data")), |spec, (name, value)| {
            spec.with(name, value)
        });
        spec.with("KAIWA_CLIPS__AWS__MEDIACONVERT_ENDPOINT", self.double.url())
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

/// The operator's settings.
fn settings(
    folder: &Path,
    endpoint: &str,
    role: &str,
    table: Option<&str>,
) -> Vec<(&'static str, String)> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut settings = vec![
        ("KAIWA_CLIPS__BACKEND", "aws".to_owned()),
        ("KAIWA_CLIPS__SERVICES", services()),
        ("KAIWA_CLIPS__SERVICE_SECRET_FILE", file("service-secret")),
        ("KAIWA_CLIPS__AWS__REGION", "us-east-1".to_owned()),
        ("KAIWA_CLIPS__AWS__ENDPOINT", endpoint.to_owned()),
        ("KAIWA_CLIPS__AWS__BUCKET", "clips".to_owned()),
        ("KAIWA_CLIPS__AWS__PATH_STYLE", "true".to_owned()),
        ("KAIWA_CLIPS__AWS__UPLOAD_ROLE", role.to_owned()),
        ("KAIWA_CLIPS__AWS__MEDIACONVERT_ROLE", JOB_ROLE.to_owned()),
        ("KAIWA_CLIPS__AWS__ASK_AFTER_S", "2".to_owned()),
        (
            "KAIWA_CLIPS__AWS__WEBHOOK__API_KEY_FILES",
            format!("[{:?}]", file("webhook-key")),
        ),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
    ];
    settings.extend(table.map(|table| ("KAIWA_CLIPS__AWS__TABLE", table.to_owned())));
    settings
}

/// The double looks at its form alone.
const JOB_ROLE: &str = "arn:aws:iam::000000000000:role/transcode";

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
