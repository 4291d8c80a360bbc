//! The bodies of the fuzz targets, with the properties that must hold for any input.
//!
//! Each body takes bytes and panics if a property does not hold. They build on the stable toolchain, so `cargo test` replays
//! the committed seeds and every input that once found a bug (`tests/replay.rs`).
//!
//! *Whole equals split* means that the result is the same when the input arrives in one piece and in several.
//!
//! | target | property |
//! |---|---|
//! | [`notification`] | whole equals split; decoding, encoding and decoding again gives the same; memory is bounded |
//! | [`frame`] | any frame that can be built is the same after encoding and decoding |
//! | [`error_response`], [`feedback`] | whole equals split; decoding, encoding and decoding again gives the same; the machine agrees |
//! | [`device_token`] | every accepted text can be written and parsed again; no error or `Debug` shows the token |
//! | [`payload`] | the built payload is the requested JSON; `fit` keeps the longest prefix that fits |
//! | [`payload_json`] | accepts exactly what a strict JSON parser accepts; compacting changes no value |
//! | [`signing_key`], [`identity`] | what is parsed can be written and parsed again; its base64 is the same credential |
//! | [`provider_response`] | limits hold; parsing never fails; only status 200 accepts a notification |
//! | [`provider_token`] | a token is accepted completely or not at all |
//! | [`proxy`] | any answer of a proxy: whole equals split, memory is bounded; no URL can add to the request, and none is shown |
//! | [`resend_plan`] | the client's outcomes agree with a linear search of a list |
//! | [`binary_client`], [`http2_client`] | any sequence of operations: one outcome for each notification, whole equals split, it terminates |
//! | [`http2_frames`] | any frames of a service: whole equals split for each notification, it terminates |
//! | [`http2_header_blocks`] | any HPACK: a header block decodes the same in one frame, in several frames, and with padding |
//! | [`http2_requests`] | any notifications: another implementation of HTTP/2 decodes the intended requests |
//! | [`servers`] | the server sides of both protocols: the same properties |
//! | [`binary_link`], [`http2_link`] | a session and a service over a hostile link: every outcome agrees with what the service did |

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
