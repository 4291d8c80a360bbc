//! What a refusal means, in plain words.

use crate::Rejection;

/// What happened and what to do about it, for a person to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// What happened.
    pub happened: &'static str,
    /// What to do.
    pub to_do: &'static str,
}

impl Explanation {
    pub(crate) const fn new(happened: &'static str, to_do: &'static str) -> Self {
        Self { happened, to_do }
    }
}

impl Rejection {
    /// What happened and what to do, in plain words.
    ///
    /// ```
    /// use apns_proto::Rejection;
    /// use apns_proto::binary::Status;
    ///
    /// let explanation = Rejection::Gateway(Status::INVALID_TOKEN).explain();
    /// assert!(explanation.happened.contains("device token"));
    /// ```
    #[must_use]
    pub fn explain(&self) -> Explanation {
        match self {
            Self::Gateway(status) => status.kind().explain(),
            #[cfg(feature = "http2")]
            Self::Provider(rejection) => rejection.explain(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::{Status, StatusKind};

    #[test]
    fn every_status_byte_is_explained_in_sentences() {
        for byte in 0..=u8::MAX {
            let explanation = Rejection::Gateway(Status::from_raw(byte)).explain();
            for text in [explanation.happened, explanation.to_do] {
                assert!(text.ends_with('.') && !text.contains("  ") && !text.contains('\n'), "{byte}: {text}");
            }
        }
        assert_eq!(StatusKind::Unknown.explain(), Rejection::Gateway(Status::from_raw(9)).explain());
    }
}
