//! Shortening a text so that its JSON fits.

use unicode_segmentation::UnicodeSegmentation as _;

use super::json::escaped_len;

/// How many bytes of the JSON of `text` to keep: those of its longest prefix of whole grapheme clusters that needs no more
/// than `room` bytes.
///
/// JSON escapes each character on its own, so the JSON of a prefix is a prefix of the JSON and nothing has to be encoded
/// again. Linear in what is kept.
pub(super) fn longest_prefix(text: &str, room: usize) -> usize {
    let mut kept = 0;
    for cluster in text.graphemes(true) {
        let more = escaped_len(cluster);
        if more > room - kept {
            break;
        }
        kept += more;
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_segmentation::UnicodeSegmentation as _;

    use super::*;
    use crate::payload::json::quote;

    /// Tries every boundary, and encodes each prefix.
    fn naive(text: &str, room: usize) -> usize {
        let boundaries = text.grapheme_indices(true).map(|(index, _)| index).chain([text.len()]);
        boundaries.map(|end| quote(&text[..end]).len() - 2).filter(|&len| len <= room).max().unwrap()
    }

    proptest! {
        #[test]
        fn the_prefix_is_the_longest(text in "(\\PC|[\"\\\\\n\u{1}\u{7f}é]|👩🏽‍🚀|🇩🇪|👨‍👩‍👧|\u{301}|\r\n|क्षि|각){0,30}", room in 0_usize..120) {
            prop_assert_eq!(longest_prefix(&text, room), naive(&text, room));
        }

        #[test]
        fn the_prefix_of_any_text_is_the_longest(text in any::<String>(), room in 0_usize..120) {
            prop_assert_eq!(longest_prefix(&text, room), naive(&text, room));
        }
    }
}
