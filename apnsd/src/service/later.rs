//! Notifications that are to be sent later.

use std::time::Duration;

use apns_proto::{Expiration, Notification, WallTime};
use ring::digest::{Context, SHA256};

use crate::config::{App, EnvironmentChoice};

/// Why a notification cannot be sent at the time that its caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendAtError {
    /// It is too far ahead.
    #[error("it is further ahead than the app's retry.within, which is {}", crate::span::text(*most))]
    TooFar {
        /// How far ahead it may be.
        most: Duration,
    },
    /// The notification expires first.
    #[error("the notification expires before it is to be sent")]
    ExpiresFirst,
}

/// Whether a notification that came now can be sent at this time.
pub(super) fn check(
    notification: &Notification,
    send_at: WallTime,
    now: WallTime,
    app: &App,
) -> Result<(), SendAtError> {
    if send_at.saturating_since(now) > app.retry_within {
        return Err(SendAtError::TooFar { most: app.retry_within });
    }
    match notification.expiration() {
        Expiration::At(time) if time <= send_at => Err(SendAtError::ExpiresFirst),
        _ => Ok(()),
    }
}

/// What tells a notification from another one, with the time at which it is to be sent, and the environment.
pub(super) fn digest_with(
    digest: [u8; 32],
    send_at: Option<WallTime>,
    environment: Option<EnvironmentChoice>,
) -> [u8; 32] {
    if send_at.is_none() && environment.is_none() {
        return digest;
    }
    let mut all = Context::new(&SHA256);
    all.update(&digest);
    if let Some(send_at) = send_at {
        all.update(&send_at.as_millis().to_be_bytes());
    }
    if let Some(environment) = environment {
        all.update(environment.word().as_bytes());
    }
    all.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}
