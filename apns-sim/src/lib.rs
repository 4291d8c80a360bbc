//! A pretend Apple for tests: push gateway and feedback service over real TLS on this machine.
//!
//! [`Simulator::start`] gives addresses, a certificate authority and a client certificate. Any client can connect,
//! whatever language it is written in. What the services do beyond taking everything that is well-formed is told by a
//! [`Script`]: refuse this token with that status, cut the connection in the middle of a notification, stop reading,
//! never finish a handshake. What they saw is in a [`Log`].
//!
//! It is the mirror image of the client: the same wire files and the same kind of machine, with roles swapped. So a
//! mistake that both sides share goes unnoticed here; the test vectors and foreign clients are there to find it.

mod certificates;
mod clock;
mod feedback;
mod gateway;
mod junk;
mod line;
mod log;
mod script;
mod service;
mod simulator;
mod state;
mod stream;
mod tls;

pub use log::{Counts, Entry, Keep, Log, Record, Service, Unreadable};
pub use script::{
    Action, Condition, Cut, CutHow, Faults, FeedbackEnding, FeedbackScript, GatewayScript, HandshakeFault, HexBytes,
    HexError, Junk, Kind, Rule, Script, ScriptError, ScriptedRecord, Stall, TokenPattern,
};
pub use simulator::{Builder, Simulator, StartError};
pub use tls::{ClientAuth, TlsVersion};
