//! Which of the binary protocol's words comes closest.

use apns_proto::binary::{NotificationError, Status};
use apns_proto::{InvalidNotification, PayloadError};

use super::line::Fate;
use crate::config::BridgeErrors;
use crate::outbox::OutcomeRecord;

/// What the client is to hear of an outcome.
///
/// A device on which the app is gone is no error here: the feedback service tells of it. What is unknown may have
/// arrived; an error response would have the client send it again.
pub(super) fn fate(record: &OutcomeRecord, errors: BridgeErrors) -> Fate {
    let status = match &*record.outcome {
        "rejected" => match refusal(record) {
            Some(status) => status,
            None => return Fate::Fine,
        },
        "invalid" => Status::PROTOCOL_ERROR,
        // Its app was removed.
        "not_sent" => Status::PROCESSING_ERROR,
        _ => return Fate::Fine,
    };
    match errors {
        BridgeErrors::Feedback if status == Status::INVALID_TOKEN => Fate::Fine,
        BridgeErrors::Feedback | BridgeErrors::Frame => Fate::Refused(status),
    }
}

/// The closest status; `None` for what the feedback service tells.
pub(crate) fn refusal(record: &OutcomeRecord) -> Option<Status> {
    let number = record.status.unwrap_or_default();
    // A private gateway behind the bridge says it in these words already.
    if let Ok(byte) = u8::try_from(number) {
        return Some(Status::from_raw(byte));
    }
    if number == 410 {
        return None;
    }
    Some(match record.reason.as_deref().unwrap_or_default() {
        "BadDeviceToken" | "DeviceTokenNotForTopic" => Status::INVALID_TOKEN,
        "MissingDeviceToken" => Status::MISSING_DEVICE_TOKEN,
        "PayloadTooLarge" => Status::INVALID_PAYLOAD_SIZE,
        "PayloadEmpty" => Status::MISSING_PAYLOAD,
        "MissingTopic" => Status::MISSING_TOPIC,
        "BadTopic" | "TopicDisallowed" => Status::INVALID_TOPIC_SIZE,
        "BadPath" | "BadPriority" | "BadExpirationDate" | "BadCollapseId" | "BadMessageId" | "DuplicateHeaders" => {
            Status::PROTOCOL_ERROR
        }
        _ if number == 413 => Status::INVALID_PAYLOAD_SIZE,
        // The bridge's own credential, or a service that failed again and again: not the client's fault, and it may try
        // again.
        _ if number == 403 || number == 429 || number >= 500 => Status::PROCESSING_ERROR,
        _ => Status::UNKNOWN,
    })
}

/// For what is no notification.
pub(super) fn malformed(error: &NotificationError) -> Status {
    error.gateway_status_hint().unwrap_or(Status::PROTOCOL_ERROR)
}

/// For a payload that is none.
pub(super) fn bad_payload(error: &PayloadError) -> Status {
    match error {
        PayloadError::Empty => Status::MISSING_PAYLOAD,
        PayloadError::TooLarge { .. } => Status::INVALID_PAYLOAD_SIZE,
        _ => Status::PROTOCOL_ERROR,
    }
}

/// For what no service would take.
pub(super) fn invalid(cause: &InvalidNotification) -> Status {
    match cause {
        InvalidNotification::PayloadTooLarge { .. } => Status::INVALID_PAYLOAD_SIZE,
        InvalidNotification::MissingTopic => Status::MISSING_TOPIC,
        InvalidNotification::HeadersTooLarge { .. } => Status::INVALID_TOKEN_SIZE,
        _ => Status::PROTOCOL_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use apns_proto::http2::{Api, ProviderRejection};
    use apns_proto::{NotSentCause, Outcome, Rejection, UnknownCause, WallTime};

    use super::*;
    use crate::NotificationId;

    fn told(outcome: &Outcome, errors: BridgeErrors) -> Fate {
        let (id, app) = (NotificationId::from_bytes([1; 16]), "shop".parse().unwrap());
        fate(&OutcomeRecord::new(id, app, outcome, WallTime::EPOCH, WallTime::EPOCH), errors)
    }

    fn answer(status: u16, reason: &str) -> Outcome {
        Outcome::Rejected(ProviderRejection::new(Api::Device, status).with_reason(reason).into())
    }

    #[test]
    fn only_a_refusal_is_told() {
        let unknown = Outcome::Unknown { cause: UnknownCause::NoAnswer };
        let gone = answer(410, "Unregistered");
        for outcome in [unknown, Outcome::Expired, gone] {
            assert_eq!(told(&outcome, BridgeErrors::Frame), Fate::Fine, "{outcome:?}");
        }
        let removed = Outcome::NotSent { cause: NotSentCause::Stopped("its app was removed".into()) };
        assert_eq!(told(&removed, BridgeErrors::Frame), Fate::Refused(Status::PROCESSING_ERROR));
    }

    #[test]
    fn the_closest_status_is_told_also_of_what_nobody_has_heard_of() {
        for (status, reason, expected) in [
            (429, "TooManyRequests", Status::PROCESSING_ERROR),
            (503, "ServiceUnavailable", Status::PROCESSING_ERROR),
            (403, "InvalidProviderToken", Status::PROCESSING_ERROR),
            (413, "SomethingNew", Status::INVALID_PAYLOAD_SIZE),
            (400, "BadTopic", Status::INVALID_TOPIC_SIZE),
            (404, "BadPath", Status::PROTOCOL_ERROR),
            (418, "SomethingNew", Status::UNKNOWN),
        ] {
            assert_eq!(told(&answer(status, reason), BridgeErrors::Frame), Fate::Refused(expected), "{reason}");
        }
    }

    #[test]
    fn what_a_private_gateway_says_is_passed_on() {
        for byte in [1, 2, 5, 7, 8, 128, 255, 9] {
            let status = Status::from_raw(byte);
            let refused = Outcome::Rejected(Rejection::Gateway(status));
            assert_eq!(told(&refused, BridgeErrors::Frame), Fate::Refused(status));
        }
    }

    #[test]
    fn a_bad_token_is_no_error_where_the_feedback_service_lists_it() {
        assert_eq!(told(&answer(400, "BadDeviceToken"), BridgeErrors::Feedback), Fate::Fine);
        assert_eq!(
            told(&answer(413, "PayloadTooLarge"), BridgeErrors::Feedback),
            Fate::Refused(Status::INVALID_PAYLOAD_SIZE)
        );
    }
}
