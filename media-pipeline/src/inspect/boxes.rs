//! What a QuickTime or MP4 file says of where its data are. No I/O but [`movie`].
//!
//! A track may name another file for its data (`dref`, ISO/IEC 14496-12, 8.7.2). FFmpeg does not follow it unless told to;
//! such a clip is refused all the same, since nobody would see what was meant.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The longest description of a film that is looked into: ten hours in a million chunks have less.
const MOVIE_BYTES: u64 = 64 * 1024 * 1024;

/// Boxes at the top that are passed by; fragments of a second in ten hours are fewer.
const TOP_BOXES: usize = 100_000;

/// The `moov` box's contents; empty where there is none, or none that can be looked into.
pub(super) fn movie(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(file)?;
    let end = file.metadata()?.len();
    let mut at = 0;
    for _ in 0..TOP_BOXES {
        let mut head = [0; 16];
        if at + 8 > end {
            break;
        }
        file.seek(SeekFrom::Start(at))?;
        let wide = usize::try_from((end - at).min(16)).unwrap_or(16);
        file.read_exact(&mut head[..wide])?;
        let (start, size) = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            0 => (8, end - at),
            1 => {
                let mut large = [0; 8];
                large.copy_from_slice(&head[8..]);
                (16, u64::from_be_bytes(large))
            }
            size => (8, u64::from(size)),
        };
        if size < start {
            break;
        }
        if &head[4..8] == b"moov" {
            file.seek(SeekFrom::Start(at + start))?;
            let mut movie = Vec::new();
            let size = (size - start).min(MOVIE_BYTES);
            file.take(size).read_to_end(&mut movie)?;
            return Ok(movie);
        }
        at = at.saturating_add(size);
    }
    Ok(Vec::new())
}

/// Whether a track's data are in another file.
pub(super) fn names_other_files(movie: &[u8]) -> bool {
    children(movie).any(|(name, contents)| match name {
        b"trak" | b"mdia" | b"minf" | b"dinf" => names_other_files(contents),
        // Version and flags, and a count; then entries, whose last flag says that the data are in this file.
        b"dref" => children(contents.get(8..).unwrap_or_default())
            .any(|(_, entry)| entry.get(3).is_none_or(|flags| flags & 1 == 0)),
        _ => false,
    })
}

/// Boxes one after the other, as far as their sizes can be true.
fn children(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (name, _) = rest.split_first_chunk::<4>()?;
        let size = usize::try_from(u32::from_be_bytes(*size)).ok()?;
        let contents = bytes.get(8..size)?;
        bytes = &bytes[size..];
        Some((name, contents))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxed(name: &[u8; 4], contents: &[u8]) -> Vec<u8> {
        let size = u32::try_from(contents.len() + 8).unwrap();
        [&size.to_be_bytes()[..], name, contents].concat()
    }

    fn film(flags: u8) -> Vec<u8> {
        let entry = boxed(
            b"url ",
            &[&[0, 0, 0, flags][..], b"file:///etc/passwd\0"].concat(),
        );
        let dref = boxed(b"dref", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &entry].concat());
        let nested = [b"dinf", b"minf", b"mdia", b"trak"];
        nested.iter().fold(dref, |inner, name| boxed(name, &inner))
    }

    #[test]
    fn only_data_in_the_file_itself_are_taken() {
        assert!(!names_other_files(&film(1)));
        assert!(names_other_files(&film(0)));
        assert!(names_other_files(&[film(1), film(0)].concat()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            mut bytes in Just(film(0)), changes in proptest::collection::vec((0_usize..90, any::<u8>()), 0..9)
        ) {
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            let _ = names_other_files(&bytes);
        }
    }
}
