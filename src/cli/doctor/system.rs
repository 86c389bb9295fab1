//! What this machine gives the server: files, buffers, programs, a folder.

use super::findings::Finding;
use crate::config::{ClipsBackend, Config};
use kaiwa_media_pipeline::cage::Tools;
use kaiwa_sfu::net::socket::SOCKET_BUFFER_BYTES;
use std::path::Path;

/// A connection takes one file, and one by TCP for media another.
const FILES_WANTED: u64 = 65_536;
const FILES_LEAST: u64 = 4_096;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let buffers = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap_or_default();
    let mut findings = vec![
        data_folder(&config.data_dir),
        open_files(&limits),
        udp_buffers(&buffers),
    ];
    if config.clips.enabled && config.clips.backend == ClipsBackend::Embedded {
        findings.push(ffmpeg());
    }
    findings
}

/// Whether the folder takes a file. It is left as it was.
fn data_folder(path: &Path) -> Finding {
    let check = "data folder";
    let shown = path.display();
    if !path.exists() {
        return Finding::ok(
            check,
            format!("{shown} is not there; the first start makes it"),
        );
    }
    let probe = path.join(format!(".doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, b"");
    // Nothing is left of it, whatever came of the writing.
    let _ = std::fs::remove_file(&probe);
    match written {
        Ok(()) => Finding::ok(check, format!("{shown} can be written to")),
        Err(error) => Finding::fail(
            check,
            format!("{shown} can't be written to: {error}"),
            "give it to the user that runs the server, or name another with --data",
        ),
    }
}

/// Of `/proc/self/limits`.
fn open_files(limits: &str) -> Finding {
    let check = "open files";
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    let Some(soft) = soft else {
        return Finding::warn(check, "the limit is not told here", "look at ulimit -n");
    };
    let remedy = format!(
        "ulimit -n {FILES_WANTED}, or LimitNOFILE={FILES_WANTED} in the unit: each connection is a file"
    );
    match soft.parse::<u64>() {
        Ok(files) if files < FILES_LEAST => {
            Finding::warn(check, format!("at most {files} (ulimit -n)"), remedy)
        }
        _ => Finding::ok(check, format!("at most {soft} (ulimit -n)")),
    }
}

/// Of `net.core.rmem_max`.
fn udp_buffers(max: &str) -> Finding {
    let check = "UDP buffers";
    let wanted = SOCKET_BUFFER_BYTES;
    match max.trim().parse::<usize>() {
        Ok(bytes) if bytes >= wanted => Finding::ok(check, format!("net.core.rmem_max is {bytes}")),
        Ok(bytes) => Finding::warn(
            check,
            format!(
                "net.core.rmem_max is {bytes}: bursts of media are dropped while the server is busy"
            ),
            format!("sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}"),
        ),
        Err(_) => Finding::warn(
            check,
            "net.core.rmem_max is not told here",
            "sysctl net.core.rmem_max",
        ),
    }
}

fn ffmpeg() -> Finding {
    let check = "FFmpeg";
    let path = std::env::var("PATH").unwrap_or_default();
    match Tools::find(&path) {
        Ok(_) => Finding::ok(check, "what clips need is there"),
        Err(missing) => Finding::warn(
            check,
            format!("{missing} is missing: there are no clips"),
            "install FFmpeg, or switch clips off (clips.enabled = false)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Status;
    use super::*;

    #[test]
    fn few_files_and_small_buffers_are_warned_of() {
        let limits = |files: &str| {
            format!("Limit  Soft  Hard\nMax open files            {files}  524288 files\n")
        };
        assert_eq!(open_files(&limits("1024")).status, Status::Warn);
        assert_eq!(open_files(&limits("524288")).status, Status::Ok);
        assert_eq!(open_files(&limits("unlimited")).status, Status::Ok);
        assert_eq!(open_files("").status, Status::Warn);
        assert_eq!(udp_buffers("212992\n").status, Status::Warn);
        assert_eq!(udp_buffers("8388608\n").status, Status::Ok);
        assert_eq!(udp_buffers("").status, Status::Warn);
    }

    #[test]
    fn a_folder_is_tried_and_left_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(data_folder(folder.path()).status, Status::Ok);
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("readable").count(),
            0
        );
        let file = folder.path().join("file");
        std::fs::write(&file, b"x").expect("written");
        assert_eq!(data_folder(&file).status, Status::Fail);
        assert_eq!(data_folder(&folder.path().join("none")).status, Status::Ok);
    }
}
