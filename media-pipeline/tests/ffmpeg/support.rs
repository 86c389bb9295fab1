//! A store on a folder, sources, and questions to ffprobe.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::cage::Tools;
use kaiwa_media_pipeline::checksum::ChecksumKind;
use kaiwa_media_pipeline::ffmpeg::FfmpegTranscoder;
use kaiwa_media_pipeline::inspect::FfprobeInspector;
use kaiwa_media_pipeline::inspect::policy::Policy;
use kaiwa_media_pipeline::model::{ClipId, Outputs, Source, UploadMode};
use kaiwa_media_pipeline::ports::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Objects as files; keeps the order of what was put.
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
    pub(crate) local: bool,
    pub(crate) puts: Mutex<Vec<String>>,
}

impl Folder {
    fn info(&self, key: &str) -> Option<ObjectInfo> {
        let size = std::fs::metadata(self.root.join(key)).ok()?.len();
        Some(ObjectInfo {
            key: key.into(),
            size,
            etag: String::new(),
            sha256: None,
            modified: UnixMs(0),
        })
    }
}

const NONE: ObjectError = ObjectError::Unsupported("in this test");

impl Objects for Folder {
    fn modes(&self) -> &[UploadMode] {
        &[]
    }
    fn begin<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Option<ChecksumKind>,
    ) -> Answer<'a, String, ObjectError> {
        Box::pin(async { Err(NONE) })
    }
    fn sign_part<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a PartPlan,
        _: Duration,
    ) -> Answer<'a, SignedRequest, ObjectError> {
        Box::pin(async { Err(NONE) })
    }
    fn sign_post<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: u64,
        _: Duration,
    ) -> Answer<'a, SignedForm, ObjectError> {
        Box::pin(async { Err(NONE) })
    }
    fn credentials<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Duration,
    ) -> Answer<'a, Credentials, ObjectError> {
        Box::pin(async { Err(NONE) })
    }
    fn parts<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, Vec<Part>, ObjectError> {
        Box::pin(async { Err(NONE) })
    }
    fn complete<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a [Part],
    ) -> Answer<'a, ObjectInfo, ObjectError> {
        Box::pin(async { Err(NONE) })
    }
    fn abort<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, (), ObjectError> {
        Box::pin(async { Ok(()) })
    }
    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<ObjectInfo>, ObjectError> {
        Box::pin(async move { Ok(self.info(key)) })
    }
    fn read<'a>(
        &'a self,
        key: &'a str,
        range: Option<(u64, u64)>,
    ) -> Answer<'a, Reading, ObjectError> {
        Box::pin(async move {
            let info = self.info(key).ok_or(ObjectError::NotFound)?;
            let bytes = Bytes::from(std::fs::read(self.root.join(key)).unwrap());
            let (from, to) = range.unwrap_or((0, info.size));
            let bytes = bytes.slice(from as usize..to as usize);
            Ok(Reading {
                info,
                bytes: stream::iter([Ok(bytes)]).boxed(),
            })
        })
    }
    fn put<'a>(
        &'a self,
        key: &'a str,
        _: &'a str,
        mut bytes: BoxStream<'a, std::io::Result<Bytes>>,
        size: u64,
    ) -> Answer<'a, ObjectInfo, ObjectError> {
        Box::pin(async move {
            let mut all = Vec::new();
            while let Some(piece) = bytes.next().await {
                all.extend_from_slice(&piece.unwrap());
            }
            assert_eq!(all.len() as u64, size);
            let path = self.root.join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, all).unwrap();
            self.puts.lock().unwrap().push(key.to_owned());
            Ok(self.info(key).unwrap())
        })
    }
    fn local_path(&self, key: &str) -> Option<PathBuf> {
        self.local.then(|| self.root.join(key))
    }
    fn list<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a str>,
    ) -> Answer<'a, Vec<ObjectInfo>, ObjectError> {
        Box::pin(async { Err(NONE) })
    }
    fn delete_prefix<'a>(&'a self, _: &'a str) -> Answer<'a, u64, ObjectError> {
        Box::pin(async { Err(NONE) })
    }
    fn stale_uploads(&self, _: UnixMs) -> Answer<'_, Vec<(String, String)>, ObjectError> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// A folder that goes with the test, or another's.
pub(crate) enum Home {
    Own(tempfile::TempDir),
    Others(PathBuf),
}

impl Home {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Own(dir) => dir.path(),
            Self::Others(path) => path,
        }
    }
}

/// A place to work.
pub(crate) struct Place {
    pub(crate) dir: Home,
    pub(crate) objects: Arc<Folder>,
    pub(crate) inspector: FfprobeInspector,
}

pub(crate) fn tools() -> Tools {
    Tools::find(&std::env::var("PATH").unwrap()).unwrap()
}

impl Place {
    pub(crate) fn new(local: bool) -> Self {
        Self::of(Home::Own(tempfile::tempdir().unwrap()), local)
    }

    /// In a folder that is another place's.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self::of(Home::Others(folder), true)
    }

    fn of(dir: Home, local: bool) -> Self {
        let root = dir.path().join("objects");
        std::fs::create_dir_all(&root).unwrap();
        let objects = Arc::new(Folder {
            root,
            local,
            puts: Mutex::default(),
        });
        let work = dir.path().join("inspect");
        let inspector = FfprobeInspector::new(objects.clone(), tools(), Policy::default(), work);
        Self {
            dir,
            objects,
            inspector,
        }
    }

    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.objects.root.join(key)
    }

    pub(crate) fn transcoder(&self) -> FfmpegTranscoder {
        FfmpegTranscoder::start(
            self.objects.clone(),
            tools(),
            self.dir.path().join("transcoder"),
        )
        .unwrap()
    }

    /// Looks at `key`, transcodes it, and gives both.
    pub(crate) async fn make(&self, key: &str) -> (Source, Outputs) {
        let source = self.inspector.inspect(key).await.unwrap();
        let order = order(key, source.clone());
        let transcoder = self.transcoder();
        let job = transcoder.submit(&order).await.unwrap();
        (source, done(&transcoder, &job, &order).await)
    }
}

pub(crate) fn order(key: &str, source: Source) -> Order {
    Order {
        clip: ClipId(uuid::Uuid::now_v7()),
        attempt: 1,
        source_key: key.to_owned(),
        source,
        processed: "processed/".to_owned(),
        segment_s: 2,
    }
}

/// Asks until the job is over.
pub(crate) async fn end(
    transcoder: &FfmpegTranscoder,
    job: &kaiwa_media_pipeline::model::Job,
    order: &Order,
) -> Report {
    let mut asked = tokio::time::interval(Duration::from_millis(20));
    let mut last = None;
    loop {
        asked.tick().await;
        match transcoder
            .report(job, order)
            .await
            .unwrap()
            .expect("a job that was submitted is known")
        {
            Report::Queued => {}
            Report::Working(now) => {
                assert!(last <= Some(now), "progress goes forward");
                last = Some(now);
            }
            report @ (Report::Done(_) | Report::Failed(_) | Report::Cancelled) => return report,
        }
    }
}

pub(crate) async fn done(
    transcoder: &FfmpegTranscoder,
    job: &kaiwa_media_pipeline::model::Job,
    order: &Order,
) -> Outputs {
    let report = end(transcoder, job, order).await;
    let Report::Done(outputs) = report else {
        panic!("{report:?}")
    };
    outputs
}

/// Runs FFmpeg with arguments divided by blanks, and writes `file`.
pub(crate) fn make(args: &str, file: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-v", "error", "-y", "-nostdin"])
        .args(args.split_whitespace())
        .arg(file)
        .status()
        .unwrap();
    assert!(status.success(), "{args}");
}

pub(crate) fn ffprobe(args: &str, file: &Path) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error"])
        .args(args.split_whitespace())
        .arg(file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
