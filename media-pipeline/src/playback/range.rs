//! One range of bytes (RFC 9110, section 14).

/// What to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything: no range, one that can't be read, or several.
    Whole,
    /// From, to (exclusive).
    Part(u64, u64),
    /// Nothing of it is there.
    Outside,
}

pub(crate) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(range) = header.and_then(|header| header.strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = range.trim().split_once('-') else {
        return Wanted::Whole;
    };
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Wanted::Whole,
        (Some(first), _) if first >= size => {
            if last.is_empty() || number(last).is_some() {
                Wanted::Outside
            } else {
                Wanted::Whole
            }
        }
        (Some(first), Some(last)) => Wanted::Part(first, last.saturating_add(1).min(size)),
        (Some(first), None) if last.is_empty() => Wanted::Part(first, size),
        (None, Some(count)) if first.is_empty() && (count == 0 || size == 0) => Wanted::Outside,
        (None, Some(count)) if first.is_empty() => Wanted::Part(size.saturating_sub(count), size),
        (Some(_) | None, Some(_) | None) => Wanted::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Wanted::{Outside, Part, Whole};

    #[test]
    fn one_range_is_taken_and_everything_else_is_the_whole() {
        for (header, expected) in [
            ("bytes=0-0", Part(0, 1)),
            ("bytes=0-9", Part(0, 10)),
            ("bytes=2-", Part(2, 10)),
            ("bytes=-3", Part(7, 10)),
            ("bytes=-99", Part(0, 10)),
            ("bytes=3-99999999999999999999999", Part(3, 10)),
            ("bytes=10-", Outside),
            ("bytes=10-11", Outside),
            ("bytes=-0", Outside),
            ("bytes=5-2", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("items=0-1", Whole),
            ("bytes=99-x", Whole),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Outside);
        assert_eq!(wanted(Some("bytes=-3"), 0), Outside);
    }
}
