//! Subtitles beside a clip.

use super::Inner;
use super::answer::objects;
use super::requests::Fingerprint;
use crate::api::{ApiError, Caller, Violation};
use crate::core::names;
use crate::core::step::Input;
use crate::core::text::is_line;
use crate::model::{Captions, Clip, ClipId, ClipState, Language};
use crate::webvtt;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use kaiwa_common::limits::{CLIP_CAPTIONS_BYTES, CLIP_LABEL_CHARS, CLIP_LANGUAGES};
use std::sync::Arc;

impl Inner {
    pub(super) async fn caption(
        self: &Arc<Self>,
        caller: &Caller,
        id: ClipId,
        language: Language,
        label: String,
        vtt: String,
    ) -> Result<Clip, ApiError> {
        let wrong = wrong(&language, &label, &vtt);
        if !wrong.is_empty() {
            return Err(ApiError::Invalid(wrong));
        }
        let language = canonical(&language);
        let print = Fingerprint::about("captions", id)
            .with(language.0.as_bytes())
            .with(label.as_bytes())
            .with(vtt.as_bytes());
        let request = self.request(caller, print, id)?;
        let clip = self.worked_on(caller, id).await?;
        if let Some(clip) = self.replay(request.as_ref()).await? {
            return Ok(clip);
        }
        let is_new = !clip.captions.contains_key(&language);
        if is_new && clip.captions.len() >= CLIP_LANGUAGES {
            return Err(ApiError::Quota {
                what: "languages of a clip",
                retry_after: None,
            });
        }
        if matches!(
            clip.state,
            ClipState::Expired | ClipState::Rejected | ClipState::Cancelled | ClipState::Deleted
        ) {
            return Err(ApiError::State(clip.state));
        }
        let file = format!("captions/{}.vtt", language.0.to_ascii_lowercase());
        let key = format!("{}{file}", names::processed(&clip));
        let bytes = Bytes::from(vtt);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let body = stream::once(std::future::ready(Ok(bytes))).boxed();
        let put = self.objects.put(&key, "text/vtt", body, size).await;
        put.map_err(objects)?;
        let captions = Captions { file, label };
        let input = Input::Captioned(language, captions);
        self.asked(id, &input, request.as_ref()).await
    }
}

/// RFC 5646, section 2.1.1: case says nothing, so that there is one writing of each.
fn canonical(language: &Language) -> Language {
    let mut is_single = false;
    let parts = language.0.split('-').enumerate().map(|(place, part)| {
        let after_single = std::mem::replace(&mut is_single, part.len() == 1);
        let is_word = part.bytes().all(|b| b.is_ascii_alphabetic());
        match part.len() {
            2 if place > 0 && !after_single => part.to_ascii_uppercase(),
            4 if place > 0 && !after_single && is_word => {
                let (first, rest) = part.split_at(1);
                format!(
                    "{}{}",
                    first.to_ascii_uppercase(),
                    rest.to_ascii_lowercase()
                )
            }
            _ => part.to_ascii_lowercase(),
        }
    });
    let parts: Vec<String> = parts.collect();
    Language(parts.join("-"))
}

fn wrong(language: &Language, label: &str, vtt: &str) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let mut need = |is_right: bool, field, description: &str| {
        if !is_right {
            let description = description.to_owned();
            wrong.push(Violation { field, description });
        }
    };
    need(is_language(&language.0), "language", "such as en or pt-BR");
    let chars = label.chars().count();
    let is_label = (1..=CLIP_LABEL_CHARS).contains(&chars) && is_line(label);
    need(
        is_label,
        "label",
        "one line of 1 to 100 characters, without control characters",
    );
    if vtt.len() > CLIP_CAPTIONS_BYTES {
        need(false, "vtt", "a WebVTT file of at most 1 MiB");
    } else if let Err(problem) = webvtt::parse(vtt) {
        need(false, "vtt", &format!("a WebVTT file; {problem}"));
    }
    wrong
}

/// The shape of BCP 47 (RFC 5646, section 2.1): letters first, parts of one to eight letters and digits.
fn is_language(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default();
    text.len() <= 35
        && (2..=8).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn subtitles_that_can_not_be_read_are_refused_with_the_line() {
        let language = Language("en".to_owned());
        let said = |vtt: &str| {
            let wrong = wrong(&language, "English", vtt);
            wrong
                .into_iter()
                .map(|one| one.description)
                .collect::<Vec<_>>()
        };
        assert!(said("WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n").is_empty());
        let comma = said("WEBVTT\n\n00:01,000 --> 00:02,000\nHello\n");
        assert!(
            comma.len() == 1 && comma[0].contains("line 3: times"),
            "{comma:?}"
        );
        let long = said(&format!("WEBVTT\n{}", "\n".repeat(CLIP_CAPTIONS_BYTES)));
        assert!(long.len() == 1 && long[0].contains("1 MiB"), "{long:?}");
    }

    proptest! {
        #[test]
        fn no_language_leaves_its_file_name(text in "\\PC{0,40}") {
            if is_language(&text) {
                prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
            }
        }
    }
}
