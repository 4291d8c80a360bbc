//! The HTTP/2 provider API.

#[cfg_attr(
    not(test),
    allow(
        dead_code,
        reason = "the narrow interface is written for both roles and for tests; not every part has a user"
    )
)]
pub(crate) mod wire;
