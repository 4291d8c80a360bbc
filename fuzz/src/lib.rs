//! What must hold for any input: the bodies of the fuzz targets.
//!
//! Each body takes bytes and panics when a property does not hold. The stable toolchain builds them, so that the committed
//! seeds and every input that once found something are replayed by `cargo test` (`tests/replay.rs`).
//!
//! | target | what holds |
//! |---|---|
//! | [`notification`] | whole equals split; decode, encode, decode is the same; memory is bounded |
//! | [`frame`] | any frame that can be made survives encode, decode |
//! | [`error_response`], [`feedback`] | whole equals split, decode, encode, decode, and the machine says the same |
//! | [`device_token`] | every accepted text reads back; no error or `Debug` shows the token |
//! | [`payload`] | what is built is the JSON that was asked for; `fit` keeps the longest prefix that fits |
//! | [`payload_json`] | what is taken is what a strict reader of JSON takes, and compacting changes no value |
//! | [`signing_key`], [`identity`] | what is read can be written and read again; base64 of it is the same credential |
//! | [`provider_response`] | limits hold, reading is total, status 200 alone accepts a notification |
//! | [`provider_token`] | a token is taken whole or not at all |
//! | [`proxy`] | any answer of a proxy: whole equals split, it is bounded; no URL makes more of a request, or is shown |
//! | [`resend_plan`] | the client's outcomes agree with a list that is searched from end to end |
//! | [`binary_client`], [`http2_client`] | any sequence of operations: one outcome each, whole equals split, it ends |
//! | [`http2_frames`] | any frames of a service: whole equals split for each notification, it ends |
//! | [`http2_header_blocks`] | any HPACK: a block in several frames, or padded, says what it says in one |
//! | [`http2_requests`] | any notifications: another implementation of HTTP/2 reads what was meant |
//! | [`servers`] | the other sides of both protocols: the same |
//! | [`binary_link`], [`http2_link`] | session and service over a hostile link: every outcome is true of what the service did |

mod binary_client;
mod binary_wire;
mod clock;
mod credentials;
mod feed;
mod frames;
mod http2_client;
mod http2_wire;
mod links;
mod notifications;
mod payloads;
#[allow(unfulfilled_lint_expectations, reason = "the crate it comes from forbids clocks, this one does not")]
#[path = "../../apns-proto/tests/pretend/mod.rs"]
mod pretend;
mod provider;
mod proxy;
mod resend_plan;
mod servers;
mod tokens;

pub use binary_client::binary_client;
pub use binary_wire::{error_response, feedback, frame, notification};
pub use credentials::{identity, signing_key};
pub use http2_client::http2_client;
pub use http2_wire::{http2_frames, http2_header_blocks, http2_requests};
pub use links::{binary_link, http2_link};
pub use payloads::{payload, payload_json};
pub use provider::{provider_response, provider_token};
pub use proxy::proxy;
pub use resend_plan::resend_plan;
pub use servers::servers;
pub use tokens::device_token;

/// The body of a target.
pub type Body = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Body)] = &[
    ("notification", notification),
    ("frame", frame),
    ("error_response", error_response),
    ("feedback", feedback),
    ("device_token", device_token),
    ("payload", payload),
    ("payload_json", payload_json),
    ("signing_key", signing_key),
    ("identity", identity),
    ("provider_response", provider_response),
    ("provider_token", provider_token),
    ("proxy", proxy),
    ("resend_plan", resend_plan),
    ("binary_client", binary_client),
    ("http2_client", http2_client),
    ("http2_frames", http2_frames),
    ("http2_header_blocks", http2_header_blocks),
    ("http2_requests", http2_requests),
    ("servers", servers),
    ("binary_link", binary_link),
    ("http2_link", http2_link),
];

/// Makes a program of a body: a fuzz target where cargo-fuzz builds it, otherwise one that replays the files it is given.
#[macro_export]
macro_rules! fuzz_target {
    ($body:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$body(data));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            for path in std::env::args_os().skip(1) {
                $crate::$body(&std::fs::read(path)?);
            }
            Ok(())
        }
    };
}
