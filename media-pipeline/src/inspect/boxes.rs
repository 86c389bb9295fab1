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

/// How deep boxes are looked into. A `dref` is the fifth; FFmpeg itself takes no file with more than ten.
const DEPTH: u32 = 10;

/// The `moov` box's contents; empty where there is none, or none that can be looked into.
pub(super) fn movie(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(file)?;
    let end = file.metadata()?.len();
    movie_in(&mut file, end)
}

/// As [`movie`], of `end` bytes.
pub(crate) fn movie_in<File: Read + Seek>(file: &mut File, end: u64) -> std::io::Result<Vec<u8>> {
    let mut at = 0_u64;
    for _ in 0..TOP_BOXES {
        let left = end.saturating_sub(at);
        if left < 8 {
            break;
        }
        let mut head = [0; 16];
        file.seek(SeekFrom::Start(at))?;
        let wide = usize::try_from(left.min(16)).unwrap_or(16);
        file.read_exact(&mut head[..wide])?;
        let (start, size) = size_of(&head, left);
        if size < start {
            break;
        }
        if &head[4..8] == b"moov" {
            file.seek(SeekFrom::Start(at.saturating_add(start)))?;
            let mut movie = Vec::new();
            let size = (size - start).min(MOVIE_BYTES);
            file.take(size).read_to_end(&mut movie)?;
            return Ok(movie);
        }
        at = at.saturating_add(size);
    }
    Ok(Vec::new())
}

/// Bytes of a box's head, and of all of it, as its first 16 say, padded with zeros: `left` are there
/// (ISO/IEC 14496-12, 4.2).
fn size_of(head: &[u8; 16], left: u64) -> (u64, u64) {
    let [a, b, c, d, _, _, _, _, long @ ..] = *head;
    match u32::from_be_bytes([a, b, c, d]) {
        0 => (8, left),
        1 => (16, u64::from_be_bytes(long)),
        size => (8, u64::from(size)),
    }
}

/// Whether a track's data are in another file.
pub(crate) fn names_other_files(movie: &[u8]) -> bool {
    others_below(movie, DEPTH)
}

fn others_below(contents: &[u8], depth: u32) -> bool {
    depth > 0
        && children(contents).any(|(name, contents)| match name {
            b"trak" | b"mdia" | b"minf" | b"dinf" => others_below(contents, depth - 1),
            // Version and flags, and a count; then entries, whose last flag says that the data are in this file.
            b"dref" => children(contents.get(8..).unwrap_or_default())
                .any(|(_, entry)| entry.get(3).is_none_or(|flags| flags & 1 == 0)),
            _ => false,
        })
}

/// Boxes one after the other, as far as their sizes can be true.
fn children(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (_, rest) = bytes.split_first_chunk::<4>()?;
        let (name, _) = rest.split_first_chunk::<4>()?;
        let mut head = [0; 16];
        let wide = bytes.len().min(16);
        head[..wide].copy_from_slice(&bytes[..wide]);
        let (start, size) = size_of(&head, u64::try_from(bytes.len()).ok()?);
        let (start, size) = (usize::try_from(start).ok()?, usize::try_from(size).ok()?);
        let contents = bytes.get(start..size)?;
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

    #[test]
    fn boxes_within_boxes_without_end_are_left_at_a_depth_that_players_have_too() {
        let depth = 200_000_u32;
        let head = |level: u32| [&((depth - level) * 8).to_be_bytes()[..], b"trak"].concat();
        let nested: Vec<u8> = (0..depth).flat_map(head).collect();
        assert!(!names_other_files(&nested));
        assert!(names_other_files(&boxed(b"trak", &film(0))));
    }

    #[test]
    fn a_box_that_would_end_beyond_all_files_is_the_last() {
        let far = [&1_u32.to_be_bytes()[..], b"free", &u64::MAX.to_be_bytes()].concat();
        let moov = boxed(b"moov", b"");
        for file in [far.clone(), [far, moov].concat()] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("film");
            std::fs::write(&path, &file).unwrap();
            assert_eq!(movie(&path).unwrap(), b"");
        }
    }

    #[test]
    fn boxes_with_long_sizes_and_the_last_without_one_are_looked_into() {
        let inner = film(0);
        let inner = &inner[8..];
        let long = u64::try_from(inner.len() + 16).unwrap();
        let long = [
            &1_u32.to_be_bytes()[..],
            b"trak",
            &long.to_be_bytes(),
            inner,
        ]
        .concat();
        assert!(names_other_files(&long));
        assert!(names_other_files(
            &[&0_u32.to_be_bytes()[..], b"trak", inner].concat()
        ));
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
