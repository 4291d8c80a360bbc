//! Where Apple's own recipes differ from Apple's own pages.
//!
//! Sources of the recipes: *Sending push notifications using command-line tools*, and the sample token of *Establishing a
//! token-based connection to APNs*.

use std::fmt;

use serde::{Serialize, Serializer};

/// Something that a recipe or a sample of Apple's does and that Apple's pages do not allow.
///
/// A simulator refuses it as the pages have it, or takes it where it was told to be
/// [lenient](crate::Builder::lenient). Either way the [record](crate::RequestRecord::deviations) names it, and so does the
/// header `apns-sim-detail` of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deviation {
    /// The signature of the provider token is in DER, as `openssl dgst` makes it, and not R and S in 64 bytes.
    DerSignature,
    /// The `iat` of the provider token is a text, in seconds or milliseconds, and not a number of seconds.
    TextIssuedAt,
    /// The header of the provider token has no `alg`.
    NoAlgorithm,
    /// A broadcast has no `apns-expiration`.
    NoExpiration,
}

impl Deviation {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::DerSignature, Self::TextIssuedAt, Self::NoAlgorithm, Self::NoExpiration];

    /// Its name for programs. Stable.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::DerSignature => "der_signature",
            Self::TextIssuedAt => "text_iat",
            Self::NoAlgorithm => "no_alg",
            Self::NoExpiration => "no_expiration",
        }
    }

    /// The reason that a simulator refuses it with, unless it is lenient.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::DerSignature | Self::TextIssuedAt | Self::NoAlgorithm => "InvalidProviderToken",
            Self::NoExpiration => "BadExpirationDate",
        }
    }

    /// What the request does. No full stop at the end.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::DerSignature => {
                "the signature of the provider token is in DER, as `openssl dgst -sign` writes it and Apple's openssl recipe \
                 sends it"
            }
            Self::TextIssuedAt => "the `iat` of the provider token is a text, as in Apple's sample token",
            Self::NoAlgorithm => "the header of the provider token has no `alg`, as in Apple's sample token",
            Self::NoExpiration => "the broadcast has no `apns-expiration`, as in Apple's curl recipe",
        }
    }

    /// What Apple's pages ask for in its place. No full stop at the end.
    #[must_use]
    pub const fn page_says(self) -> &'static str {
        match self {
            Self::DerSignature => "ES256 is R and S of 32 bytes each, 64 bytes in all (RFC 7518 section 3.4)",
            Self::TextIssuedAt => "`iat` is a number of seconds since 1970 (RFC 7519 section 4.1.6)",
            Self::NoAlgorithm => "the header has `\"alg\": \"ES256\"`",
            Self::NoExpiration => "a broadcast needs it, 0 for a channel that stores nothing",
        }
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.page_says())
    }
}

impl Serialize for Deviation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// What was noticed while one request was judged.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    lenient: bool,
    deviations: Vec<Deviation>,
    fault: Option<String>,
}

impl Remarks {
    pub(crate) fn new(lenient: bool) -> Self {
        Self { lenient, ..Self::default() }
    }

    /// Takes note of it, and says whether it passes.
    pub(crate) fn allow(&mut self, deviation: Deviation) -> bool {
        if !self.deviations.contains(&deviation) {
            self.deviations.push(deviation);
        }
        self.lenient
    }

    /// What a refusal is about, where its reason leaves it open.
    pub(crate) fn fault(&mut self, fault: impl Into<String>) {
        self.fault = Some(fault.into());
    }

    pub(crate) fn deviations(&self) -> &[Deviation] {
        &self.deviations
    }

    /// All of it in one line, for a header.
    pub(crate) fn detail(&self) -> Option<String> {
        let verdict = if self.lenient { "taken, as the simulator is lenient" } else { "a lenient simulator takes it" };
        let deviations = self.deviations.iter().map(|one| format!("{}: {one} ({verdict})", one.word()));
        let all: Vec<String> = deviations.chain(self.fault.clone()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_each_their_own_and_texts_fit_a_header() {
        let words: std::collections::BTreeSet<_> = Deviation::ALL.iter().map(|one| one.word()).collect();
        assert_eq!(words.len(), Deviation::ALL.len());
        for one in Deviation::ALL {
            let mut remarks = Remarks::new(false);
            assert!(!remarks.allow(one));
            let detail = remarks.detail().unwrap();
            assert!(http::HeaderValue::from_str(&detail).is_ok() && detail.starts_with(one.word()), "{detail}");
            assert!(Remarks::new(true).allow(one));
        }
        assert_eq!(Remarks::new(true).detail(), None);
    }
}
