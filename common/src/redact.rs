//! Keeping secrets and personal data out of logs by type.

use std::fmt;

/// Personal data: usable, comparable, but `Debug` shows only that it is there.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Redacted<T>(pub T);

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("‹redacted›")
    }
}

/// A key or token. It has neither `Debug` content nor `Display`, and is compared nowhere.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a secret.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The secret, for the one call that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("‹secret›")
    }
}

/// The first two characters and the length: enough to follow one id through a log.
pub(crate) fn write_short(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars().take(2) {
        write!(f, "{c}")?;
    }
    write!(f, "…{}", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_carries_no_content() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "‹secret›");
        assert_eq!(format!("{:?}", Some(Redacted("Alice"))), "Some(‹redacted›)");
    }
}
