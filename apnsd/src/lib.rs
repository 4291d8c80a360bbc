//! The provider daemon: many applications send Apple push notifications through one service that keeps the connections,
//! answers as soon as a notification is on disk, and delivers in the background.
//!
//! # The pieces
//!
//! ```text
//! interfaces ──► Service ──► Outbox (SQLite)
//!                   │           ▲
//!                   └► Engine ──┴──► apns_tokio::Client      one engine for each app
//! ```
//!
//! * [`config`]: the configuration file, and the definition of an app wherever it comes from.
//! * [`outbox`]: the narrow trait of the store, and the store in one file.
//! * [`Service`]: what every interface stands on. Interfaces hold no state of their own and never see a client:
//!   [`submit`](Service::submit) stores, [`wait`](Service::wait) and [`outcomes`](Service::outcomes) tell what became of
//!   it, [`feedback`](Service::feedback) has the device tokens on which an app is gone,
//!   [`provision`](Service::provision), [`remove`](Service::remove) and [`list`](Service::list) are for apps.
//! * [`Access`]: who may do what; every interface asks it before anything else.
//! * The bridge: TLS ports for clients of the binary protocol, who are known by their certificates.
//!
//! # What holds
//!
//! * What [`Service::submit`] accepted is on disk, and is settled exactly once, whatever happens to the process.
//! * What may have left without an answer is reported, or sent again and marked, as the app's loss policy says.
//! * An app that cannot send takes nothing from the others but its share of the outbox.
//! * Keys, tokens and payloads are in no log, no error, and no answer but the one that asked for them.

mod access;
mod app_name;
mod bridge;
pub mod config;
mod daemon;
mod delivery;
mod http;
mod interface;
mod listen;
mod log;
mod notification_id;
pub mod outbox;
mod pyapns;
mod rate;
mod server_files;
mod service;
mod signals;
pub mod span;

pub use access::{Access, Caller, Denied};
pub use app_name::AppName;
pub use daemon::{Daemon, DaemonError};
pub use delivery::{BridgeFigures, Credential, Health, Snapshot, Spans};
pub use http::MetricsPort;
pub use interface::ListeningPort;
pub use log::{LogConfig, LogFormat, LogLevel};
pub use notification_id::NotificationId;
pub use service::{
    AppInfo, Origin, OutcomeStream, ProvisionError, Service, StartError, StoreHealth, Submission, SubmitError,
    UnknownApp,
};
pub use signals::Signals;
