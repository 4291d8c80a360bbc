//! Writing JSON: compact, UTF-8 as it is, only what JSON requires escaped.

use std::ops::Range;

use serde::Serialize;

use super::members::Members;
use super::scan::{WHITE_SPACE, compact};
use super::{PayloadError, finite::all_finite};

/// The JSON of one value, or why there is none. The reason waits until the payload is built, and goes when the key is set
/// again.
pub(super) type Encoded = Result<String, PayloadError>;

/// Values by key, each key once.
#[derive(Clone)]
pub(super) struct Fields<K>(Vec<(K, Encoded)>);

impl<K> Default for Fields<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord> Fields<K> {
    /// Sets a key in the order of the keys.
    pub(super) fn put(&mut self, key: K, value: Encoded) {
        match self.0.binary_search_by(|(other, _)| other.cmp(&key)) {
            Ok(index) => self.0[index].1 = value,
            Err(index) => self.0.insert(index, (key, value)),
        }
    }

    /// Takes a key out of fields that are in the order of the keys.
    pub(super) fn remove(&mut self, key: &K) {
        if let Ok(index) = self.0.binary_search_by(|(other, _)| other.cmp(key)) {
            drop(self.0.remove(index));
        }
    }
}

impl<K: PartialEq> Fields<K> {
    /// Sets a key behind all others, or where it already is.
    pub(super) fn append(&mut self, key: K, value: Encoded) {
        match self.0.iter_mut().find(|(other, _)| *other == key) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((key, value)),
        }
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.0.iter().any(|(other, _)| other == key)
    }
}

impl<K> Fields<K> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The entries in order, each with its JSON or what is wrong with it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, Result<&str, &PayloadError>)> {
        self.0.iter().map(|(key, value)| (key, value.as_deref()))
    }
}

/// The JSON of a text.
pub(super) fn quote(text: &str) -> String {
    serde_json::to_string(text).expect("a text always serialises")
}

/// The JSON of a text without its quotes.
pub(super) fn escape(text: &str) -> String {
    let mut json = quote(text);
    json.pop();
    json.remove(0);
    json
}

/// The JSON of a list of texts.
pub(super) fn quote_all(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let quoted: Vec<_> = texts.into_iter().map(|text| quote(text.as_ref())).collect();
    format!("[{}]", quoted.join(","))
}

/// How many bytes a text takes between its quotes.
pub(super) fn escaped_len(text: &str) -> usize {
    text.bytes().map(escaped_byte_len).sum()
}

/// JSON requires escapes for the quote, the backslash and control characters (RFC 8259, section 7). Some controls have a
/// short form.
const fn escaped_byte_len(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 2,
        0x00..=0x1f => 6,
        _ => 1,
    }
}

/// The compact JSON of any value.
pub(super) fn encode(key: &str, value: &(impl Serialize + ?Sized)) -> Encoded {
    let Ok(json) = serde_json::to_string(value) else {
        return Err(PayloadError::NotSerializable { key: key.into() });
    };
    // serde_json turns infinities into `null` without a word, so only a value with a `null` in it needs the second look.
    if json.contains("null") && !all_finite(value) {
        return Err(PayloadError::NotFinite { key: key.into() });
    }
    // Ready-made JSON (serde_json's `RawValue`) is written as it stands.
    if json.contains(WHITE_SPACE) { Ok(compact(&json)) } else { Ok(json) }
}

/// The JSON of a value that has to be an object.
pub(super) fn encode_object(key: &'static str, value: &(impl Serialize + ?Sized)) -> Encoded {
    let json = encode(key, value)?;
    if json.starts_with('{') { Ok(json) } else { Err(PayloadError::ValueNotAnObject { key }) }
}

/// The members of a value that has to be an object, in its order, each with its JSON.
pub(super) fn encode_members(
    key: &'static str,
    value: &(impl Serialize + ?Sized),
) -> Result<Vec<(String, String)>, PayloadError> {
    let json = encode_object(key, value)?;
    let Members(members) = serde_json::from_str(&json).expect("what was written as an object is read as one");
    Ok(members.into_iter().map(|(key, value)| (key, value.get().to_owned())).collect())
}

/// The JSON of a number with a fraction.
pub(super) fn encode_number(key: &str, value: f64) -> Encoded {
    if !value.is_finite() {
        return Err(PayloadError::NotFinite { key: key.into() });
    }
    Ok(serde_json::to_string(&value).expect("a finite number always serialises"))
}

/// An object in the making.
pub(super) struct Object(Vec<u8>);

impl Object {
    pub(super) fn new() -> Self {
        Self(vec![b'{'])
    }

    /// Writes a key; its value has to follow.
    pub(super) fn key(&mut self, key: &str) -> &mut Self {
        // Whole values never end in an opening brace, so one at the end means that this is the first key.
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.text(key);
        self.0.push(b':');
        self
    }

    /// Writes a value that is JSON already.
    pub(super) fn value(&mut self, json: &str) {
        self.0.extend_from_slice(json.as_bytes());
    }

    /// Writes a text; gives the place of what came between its quotes.
    pub(super) fn text(&mut self, text: &str) -> Range<usize> {
        let start = self.0.len() + 1;
        serde_json::to_writer(&mut self.0, text).expect("a text always serialises, and memory takes it");
        start..self.0.len() - 1
    }

    /// Opens an object as a value.
    pub(super) fn begin(&mut self) {
        self.0.push(b'{');
    }

    /// Closes what [`begin`](Self::begin) opened.
    pub(super) fn end(&mut self) {
        self.0.push(b'}');
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end();
        self.0
    }

    pub(super) fn finish_text(self) -> String {
        String::from_utf8(self.finish()).expect("only whole texts were written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_every_character_is_that_of_its_json() {
        for character in '\0'..=char::MAX {
            let text = character.to_string();
            assert_eq!(escaped_len(&text) + 2, quote(&text).len(), "{character:?}");
        }
    }

    #[test]
    fn fields_keep_each_key_once() {
        let mut fields = Fields::default();
        for (key, value) in [(3, "a"), (1, "b"), (3, "c"), (2, "d")] {
            fields.put(key, Ok(value.into()));
        }
        let sorted: Vec<_> = fields.iter().map(|(key, value)| (*key, value.unwrap())).collect();
        assert_eq!(sorted, [(1, "b"), (2, "d"), (3, "c")]);

        let mut fields = Fields::default();
        for (key, value) in [("z", "1"), ("a", "2"), ("z", "3")] {
            fields.append(key, Ok(value.into()));
        }
        let inserted: Vec<_> = fields.iter().map(|(key, value)| (*key, value.unwrap())).collect();
        assert_eq!(inserted, [("z", "3"), ("a", "2")]);
    }
}
