//! A simulator of Apple's services for tests: push gateway, feedback service and HTTP/2 provider API over real TLS on this machine.
//!
//! [`Simulator::start`] returns addresses, a certificate authority and a client certificate. Clients in any language can
//! connect. By default the services accept everything that is well-formed. A [`Script`] makes them do otherwise: refuse
//! this token with that status, cut the connection in the middle of a notification, stop reading, never finish a
//! handshake. A [`Log`] records what they received.
//!
//! The gateway and the feedback service use the same wire code as the client, with the roles swapped. So a mistake that
//! both sides share goes unnoticed there; the test vectors and third-party clients exist to find it. The provider API is
//! an independent peer: it implements HTTP/2 with the `h2` crate, which the client does not use.

mod armed;
mod certificates;
mod clock;
mod feedback;
mod folder;
mod gateway;
mod junk;
mod line;
mod log;
pub mod machine;
mod provider;
mod script;
mod service;
mod simulator;
mod spoken;
mod state;
mod stored;
mod stream;
mod thread;
mod tls;
mod wire;

pub use armed::Armed;
pub use certificates::ServerCertificate;
pub use folder::{CredentialFolder, FolderError};
pub use log::{Counts, Entry, Keep, Log, Record, Service, Unreadable};
pub use provider::{AuthenticatedBy, Channel, Deviation, RequestRecord};
pub use script::{
    Action, Condition, ConditionOf, Cut, CutHow, Faults, FeedbackEnding, FeedbackScript, GatewayScript, HandshakeFault,
    HexBytes, HexError, Http2Answer, Http2Condition, Http2GoAway, Http2Key, Http2Rule, Http2Script, Http2Session,
    Http2Step, Junk, Kind, LastStream, RequestKind, Rule, RuleOf, Script, ScriptError, ScriptedRecord, Stall, Subject,
    TokenPattern, TokenTopic, Unregistered,
};
pub use simulator::{Builder, Simulator, StartError};
pub use stored::StoredError;
pub use tls::{ClientAuth, ProviderAuth, TlsVersion};

/// Runs the program of this crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
