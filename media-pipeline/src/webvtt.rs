//! Reads subtitles (WebVTT: The Web Video Text Tracks Format, W3C) as browsers do, and refuses what they would leave
//! out without a word: a cue whose times can't be read, and one that is never shown.
//!
//! What browsers make up for is taken: cues out of order, settings of a cue that mean nothing, cues without an empty line
//! between them.

use kaiwa_common::limits::{CLIP_CUE_BYTES, CLIP_CUES};

/// What is wrong with subtitles, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct NoSubtitles {
    /// From 1.
    pub line: usize,
    /// For people: what is expected.
    pub why: &'static str,
}

/// One line of text, or more, and when it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// From the clip's beginning, in milliseconds.
    pub from_ms: u64,
    /// Later than `from_ms`.
    pub to_ms: u64,
    /// Of its text, with line ends.
    pub bytes: usize,
}

/// A line with this has times (section 4.1).
const ARROW: &str = "-->";

/// Reads a whole file: cues in the order in which they stand there, [`CLIP_CUES`] at most.
///
/// # Errors
/// [`NoSubtitles`]: the first line that is not as it has to be.
pub fn parse(text: &str) -> Result<Vec<Cue>, NoSubtitles> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = lines(text).enumerate().map(|(at, line)| (at + 1, line));
    let (_, first) = lines.next().unwrap_or((1, ""));
    if !is_signature(first) {
        return wrong(
            1,
            "the word WEBVTT, and nothing more but a space and a title",
        );
    }
    let mut cues: Vec<Cue> = Vec::new();
    let mut block = Block::Header;
    for (at, line) in lines {
        if line.contains('\0') {
            return wrong(at, "text without U+0000");
        }
        if line.is_empty() {
            block.end()?;
            block = Block::None;
        } else if line.contains(ARROW) {
            block.before_times()?;
            if cues.len() >= CLIP_CUES {
                return wrong(at, "20000 cues at most");
            }
            let (from_ms, to_ms) = times(at, line)?;
            let bytes = 0;
            cues.push(Cue {
                from_ms,
                to_ms,
                bytes,
            });
            block = Block::Cue;
        } else {
            block = block.with(at, line);
            if let (Block::Cue, Some(cue)) = (&block, cues.last_mut()) {
                cue.bytes += line.len() + 1;
                if cue.bytes > CLIP_CUE_BYTES {
                    return wrong(at, "a cue of 4 KiB at most");
                }
            }
        }
    }
    block.end().map(|()| cues)
}

fn wrong<T>(line: usize, why: &'static str) -> Result<T, NoSubtitles> {
    Err(NoSubtitles { line, why })
}

/// Section 4.1: the word, then nothing more on its line, or a space and whatever.
fn is_signature(line: &str) -> bool {
    let rest = line.strip_prefix("WEBVTT");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// Lines end with CR LF, LF or CR (section 4.1).
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let (line, after) = text.split_at(end);
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..));
        Some(line)
    })
}

/// What the lines since the last empty one are.
enum Block {
    /// Nothing yet.
    None,
    /// Below the first line: whatever, up to an empty line (section 6.1).
    Header,
    /// One line that may name the cue below it; which line it is.
    Name(usize),
    /// Text that no cue can follow without an empty line; where it began.
    Text(usize),
    /// A remark, a style or a region (sections 4.1 and 4.2), which nothing here reads.
    Other,
    /// Times, and what is shown.
    Cue,
}

/// What a block without times comes to.
const NO_TIMES: &str = "times such as 00:01.000 --> 00:04.000 before the text, or NOTE";

impl Block {
    /// One more line without times.
    fn with(self, at: usize, line: &str) -> Self {
        let is_other = ["NOTE", "STYLE", "REGION"]
            .into_iter()
            .filter_map(|word| line.strip_prefix(word))
            .any(|rest| rest.trim_end().is_empty() || rest.starts_with([' ', '\t']));
        match self {
            Self::None if is_other => Self::Other,
            Self::None => Self::Name(at),
            Self::Name(first) => Self::Text(first),
            Self::Header | Self::Text(_) | Self::Other | Self::Cue => self,
        }
    }

    fn before_times(&self) -> Result<(), NoSubtitles> {
        match self {
            Self::Text(first) => wrong(*first, NO_TIMES),
            Self::None | Self::Header | Self::Name(_) | Self::Other | Self::Cue => Ok(()),
        }
    }

    fn end(&self) -> Result<(), NoSubtitles> {
        match self {
            Self::Name(first) | Self::Text(first) => wrong(*first, NO_TIMES),
            Self::None | Self::Header | Self::Other | Self::Cue => Ok(()),
        }
    }
}

/// `from --> to`, then settings, which browsers take as far as they can be read (section 6.3).
fn times(at: usize, line: &str) -> Result<(u64, u64), NoSubtitles> {
    let why = "times such as 00:01.000 --> 00:04.000: minutes, seconds, a point and three digits";
    let found = line.split_once(ARROW).and_then(|(from, rest)| {
        let rest = rest.trim_start_matches(BLANK);
        let to = rest.split(BLANK).next()?;
        Some((time(from.trim_matches(BLANK))?, time(to)?))
    });
    match found {
        None => wrong(at, why),
        Some((from, to)) if to <= from => wrong(at, "an end that is later than the beginning"),
        Some(times) => Ok(times),
    }
}

const BLANK: [char; 3] = [' ', '\t', '\u{c}'];

/// `[hours:]minutes:seconds.milliseconds`, in milliseconds (section 6.1, "collect a WebVTT timestamp").
fn time(text: &str) -> Option<u64> {
    let (clock, fraction) = text.split_once('.')?;
    let mut parts = clock.rsplit(':');
    let (seconds, minutes) = (parts.next()?, parts.next()?);
    let hours = parts.next();
    let is_two = |part: &str| part.len() == 2;
    let is_right = fraction.len() == 3
        && is_two(seconds)
        && is_two(minutes)
        && hours.is_none_or(|hours| (2..=5).contains(&hours.len()))
        && parts.next().is_none();
    if !is_right {
        return None;
    }
    let (seconds, minutes) = (digits(seconds)?, digits(minutes)?);
    let hours = hours.map_or(Some(0), digits)?;
    if seconds > 59 || minutes > 59 {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000 + digits(fraction)?)
}

/// Digits alone: no sign, no blank. At most five.
fn digits(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\u{feff}WEBVTT A title\r\nKind: captions\r\n\r\nSTYLE\r\n::cue { color: lime }\r\n\r\n\
        NOTE\r\nspoken by Aiko\r\n\r\n1\r\n00:01.000 --> 00:02.500 align:start line:0\r\nHello\r\nthere\r\n\r\n\
        00:00:02.500\t-->\t100:00:00.001\r\n会話";

    #[test]
    fn cues_are_read_as_browsers_read_them() {
        let cues = parse(FILE).expect("subtitles");
        let times: Vec<_> = cues.iter().map(|cue| (cue.from_ms, cue.to_ms)).collect();
        assert_eq!(times, [(1_000, 2_500), (2_500, 360_000_001)]);
        assert_eq!(
            cues.iter().map(|cue| cue.bytes).collect::<Vec<_>>(),
            [12, 7]
        );
        for text in [
            "WEBVTT",
            "WEBVTT\n",
            "WEBVTT\ta title\n\n",
            "WEBVTT\n00:01.000 --> 00:02.000\nat once\n",
            "WEBVTT\r\r00:05.000 --> 00:06.000\rlater first\r00:01.000-->00:02.000 nonsense\rno empty line",
            "WEBVTT\n\nNOTE one\n\nNOTE\tmore\n-> no arrow\n\nREGION\nid:a\n\n",
            "WEBVTT\n\n00:01.000 --> 00:02.000\n\n\n",
        ] {
            assert!(parse(text).is_ok(), "{text:?}: {:?}", parse(text));
        }
    }

    #[test]
    fn what_a_browser_would_leave_out_is_named_with_its_line() {
        let table = [
            ("", 1, "WEBVTT"),
            ("webvtt\n", 1, "WEBVTT"),
            ("WEBVTTX\n", 1, "WEBVTT"),
            (" WEBVTT\n", 1, "WEBVTT"),
            ("<script>", 1, "WEBVTT"),
            ("1\n00:00:00,000 --> 00:00:01,000\nSRT\n", 1, "WEBVTT"),
            (
                "WEBVTT\n\n1\n00:00:00,000 --> 00:00:01,000\nSRT\n",
                4,
                "a point",
            ),
            ("WEBVTT\n\n00:00.000 --> 00:61.000\nx\n", 3, "times"),
            ("WEBVTT\n\n00:60:00.000 --> 01:00:01.000\nx\n", 3, "times"),
            ("WEBVTT\n\n0:00:00.000 --> 00:01.000\nx\n", 3, "times"),
            ("WEBVTT\n\n+0:00.000 --> 00:01.000\nx\n", 3, "times"),
            ("WEBVTT\n\n00:00.000 --> 999999:00:01.000\nx\n", 3, "times"),
            ("WEBVTT\n\n00:02.000 --> 00:02.000\nx\n", 3, "later"),
            (
                "WEBVTT\n\n00:01.000 --> 00:02.000\nx\n\nlost text\n",
                6,
                "before the text",
            ),
            (
                "WEBVTT\n\na\nb\n00:01.000 --> 00:02.000\nx\n",
                3,
                "before the text",
            ),
            ("WEBVTT\n\nNOTEBOOK\n", 3, "before the text"),
            ("WEBVTT\n\n00:01.000 --> 00:02.000\n\0\n", 4, "U+0000"),
        ];
        for (text, line, why) in table {
            let wrong = parse(text).expect_err(text);
            assert_eq!(wrong.line, line, "{text:?}: {wrong}");
            assert!(wrong.why.contains(why), "{text:?}: {wrong}");
        }
    }

    #[test]
    fn cues_and_their_texts_are_bounded() {
        let cue = "00:01.000 --> 00:02.000\n";
        let most = format!("WEBVTT\n\n{}", cue.repeat(CLIP_CUES));
        assert_eq!(parse(&most).map(|cues| cues.len()), Ok(CLIP_CUES));
        let wrong = parse(&format!("{most}{cue}")).expect_err("one more");
        assert_eq!(wrong.line, CLIP_CUES + 3);
        assert!(wrong.why.contains(&CLIP_CUES.to_string()));
        let long = |bytes: usize| format!("WEBVTT\n\n{cue}{}\n", "x".repeat(bytes));
        assert!(parse(&long(CLIP_CUE_BYTES - 1)).is_ok());
        assert!(parse(&long(CLIP_CUE_BYTES)).is_err());
    }
}
