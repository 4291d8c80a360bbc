//! Short texts with rules: topics, ids and names.

/// Why a text is no [`Topic`](crate::Topic), [`CollapseId`](crate::CollapseId), [`BundleId`](crate::http2::BundleId),
/// [`ChannelId`](crate::http2::ChannelId), [`KeyId`](crate::http2::KeyId) or [`TeamId`](crate::http2::TeamId).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// There is nothing in it.
    #[error("{what} must not be empty")]
    Empty {
        /// Which text.
        what: &'static str,
    },
    /// It has more bytes than are possible.
    #[error("{what} has {found} bytes, more than the {limit} that are allowed (bytes count, not characters)")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// It has a fixed length, and this is another.
    #[error("{what} has {expected} characters, this has {found}")]
    Length {
        /// Which text.
        what: &'static str,
        /// Bytes found.
        found: usize,
        /// Bytes that it has to have.
        expected: usize,
    },
    /// A character that has no place in it.
    #[error("unexpected character {found:?} at position {position} of {what}")]
    Character {
        /// Which text.
        what: &'static str,
        /// The character.
        found: char,
        /// How many characters stand before it.
        position: usize,
    },
    /// A dot at the beginning or the end, or two in a row.
    #[error("a part of {what} is empty: a dot stands at an end, or beside another")]
    EmptyPart {
        /// Which text.
        what: &'static str,
    },
    /// It ends in the suffix of a push type, where the text before it stands alone.
    #[error("here {what} stands alone, without the suffix {suffix}")]
    Suffix {
        /// Which text.
        what: &'static str,
        /// The suffix.
        suffix: &'static str,
    },
}

/// Whether a text has at most `limit` bytes, at least one, and no character but those `allowed`.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn check(what: &'static str, text: &str, limit: usize, allowed: fn(char) -> bool) -> Result<(), TextError> {
    if text.is_empty() {
        return Err(TextError::Empty { what });
    }
    if text.len() > limit {
        return Err(TextError::TooLong { what, found: text.len(), limit });
    }
    match text.chars().enumerate().find(|&(_, character)| !allowed(character)) {
        Some((position, found)) => Err(TextError::Character { what, found, position }),
        None => Ok(()),
    }
}

/// The text without white space around it.
#[cfg(feature = "http2")]
pub(crate) fn trimmed(text: &str) -> std::sync::Arc<str> {
    text.trim().into()
}

/// Defines a text with a rule: a type that is cheap to clone, `MAX` (its longest text in bytes), `new`, `as_str`,
/// `FromStr`, `Display` and `Debug`. `$check` gets the name of the text for errors and the text, and says what is wrong;
/// a text that is `trimmed` loses the white space around it first.
#[doc(hidden)]
#[macro_export]
macro_rules! text_newtype {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident: $what:literal $($trimmed:ident)?, at most $max:literal bytes, $check:expr;
    ) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name(::std::sync::Arc<str>);

        impl $name {
            /// The longest text, in bytes.
            pub const MAX: usize = $max;

            /// Checks the text.
            ///
            /// # Errors
            ///
            /// What is wrong with it.
            pub fn new(
                text: impl ::core::convert::Into<::std::sync::Arc<str>>,
            ) -> ::core::result::Result<Self, $crate::TextError> {
                let text = text.into();
                $(let text = $crate::text::$trimmed(&text);)?
                $check($what, &text)?;
                Ok(Self(text))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::TextError;

            fn from_str(text: &str) -> ::core::result::Result<Self, $crate::TextError> {
                Self::new(text)
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}
