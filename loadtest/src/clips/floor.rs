//! What the machine needs for the bytes of an upload by itself: one thread, pieces of 1 MiB, one file, and fsync.

use super::sum::{Kind, Running};
use anyhow::Result;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

const PIECE: usize = 1024 * 1024;

/// Writes so many bytes, and syncs.
///
/// # Errors
/// The operating system's.
pub fn written(path: &Path, bytes: u64) -> Result<Duration> {
    timed(path, bytes, |_| Ok(()))
}

/// Writes and sums them, and syncs.
///
/// # Errors
/// The operating system's.
pub fn summed(path: &Path, bytes: u64, kind: Kind) -> Result<Duration> {
    let mut sum = Running::new(kind);
    let took = timed(path, bytes, |piece| {
        sum.update(piece);
        Ok(())
    })?;
    let _ = sum.finish();
    Ok(took)
}

/// Writes what comes over loopback from another thread, and syncs.
///
/// # Errors
/// The operating system's.
pub fn received(path: &Path, bytes: u64) -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        let pattern = vec![7; 256 * 1024];
        for _ in 0..bytes / pattern.len() as u64 {
            stream.write_all(&pattern)?;
        }
        Ok(())
    });
    let (mut stream, _) = listener.accept()?;
    let took = timed(path, bytes, |piece| Ok(stream.read_exact(piece)?))?;
    drop(stream);
    sender
        .join()
        .map_err(|_| anyhow::anyhow!("the sender panicked"))??;
    Ok(took)
}

fn timed(
    path: &Path,
    bytes: u64,
    mut each: impl FnMut(&mut [u8]) -> Result<()>,
) -> Result<Duration> {
    let begun = Instant::now();
    let mut file = File::create(path)?;
    let mut piece = vec![7; PIECE];
    for _ in 0..bytes / PIECE as u64 {
        each(&mut piece)?;
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    let took = begun.elapsed();
    std::fs::remove_file(path)?;
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_floor_ends_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("floor");
        let bytes = 2 * PIECE as u64;
        let floors = [
            written(&path, bytes),
            summed(&path, bytes, Kind::Sha256),
            summed(&path, bytes, Kind::Crc32c),
            received(&path, bytes),
        ];
        for took in floors {
            assert!(took.unwrap() > Duration::ZERO);
        }
        assert!(!path.exists());
    }
}
