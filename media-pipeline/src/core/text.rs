//! What people write that stands on one line beside other text.

/// Without line breaks and other control characters, and without those that change the direction of what stands around
/// them (Unicode TR 9, sections 2.1 to 2.4): `gpj.exe` must not read as `exe.jpg`. Marks of direction (LRM, RLM) may be in
/// it: names in Arabic and Hebrew have them.
#[must_use]
pub fn is_line(text: &str) -> bool {
    let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    !text.chars().any(|c| turns(c) || breaks(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_or_turns_a_line_is_none() {
        for good in ["", "a b&ü.mov", "שלום\u{200f}.mp4", "日本語", "👩‍👩‍👧"] {
            assert!(is_line(good), "{good:?}");
        }
        for bad in [
            "a\nb",
            "a\rb",
            "a\0",
            "\u{7f}",
            "\u{85}",
            "\u{2028}",
            "\u{2029}",
            "\u{202e}gpj.exe",
            "\u{2067}x",
            "a\u{2069}",
            "\u{1b}[31m",
        ] {
            assert!(!is_line(bad), "{bad:?}");
        }
    }
}
