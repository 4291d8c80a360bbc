//! The provider daemon: many applications send Apple push notifications through one service. It keeps the connections,
//! answers when a notification is on disk, and delivers it in the background.
//!
//! # The pieces
//!
//! ```text
//! interfaces ──► Service ──► Outbox (SQLite or PostgreSQL)
//!                   │           ▲
//!                   └► Engine ──┴──► apns_tokio::Client      one engine for each app
//! ```
//!
//! * [`config`]: the configuration file, and the definition of an app from any source.
//! * [`outbox`]: the trait of the store, and its implementations: one file, or (feature `postgres`) a shared PostgreSQL.
//! * [`Service`]: the API that every interface uses. Interfaces hold no delivery state and never use a client:
//!   [`submit`](Service::submit) stores notifications, [`wait`](Service::wait) and [`outcomes`](Service::outcomes) report
//!   their outcomes, [`feedback`](Service::feedback) returns the device tokens that an app is no longer installed on, and
//!   [`provision`](Service::provision), [`remove`](Service::remove) and [`list`](Service::list) manage apps.
//! * [`Access`]: authorization; every interface checks it first.
//! * The provider API: Apple's own interface, for clients that are given this machine in place of Apple's.
//! * The bridge: TLS ports for clients of the binary protocol, which are identified by their certificates.
//!
//! # Guarantees
//!
//! * What [`Service::submit`] accepted is on disk, and is settled exactly once, even if the process is killed.
//! * A notification that may have been sent, but has no answer, is reported, or sent again and marked, according to the
//!   app's loss policy.
//! * An app that cannot send does not affect other apps, except that it uses its share of the outbox.
//! * Keys, tokens and payloads appear in no log, no error, and in no response except to a request for them.

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
mod provider_api;
mod pyapns;
mod rate;
mod server_files;
mod service;
mod service_manager;
mod signals;
pub mod span;
mod store_move;
mod tag;
mod webhook;

pub use access::{Access, Caller, Denied};
pub use app_name::AppName;
pub use daemon::{Daemon, DaemonError};
pub use delivery::{BridgeFigures, Credential, EnvironmentStanding, Health, ProbeFigures, Snapshot, Spans};
pub use http::MetricsPort;
pub use interface::ListeningPort;
pub use log::{LogConfig, LogFormat, LogLevel};
pub use notification_id::NotificationId;
pub use service::{
    AppInfo, Cancelled, EnvironmentInfo, Origin, OutcomeStream, ProvisionError, Purged, SendAtError, Service,
    StartError, StoreHealth, Submission, SubmitError, UnknownApp,
};
pub use signals::Signals;
pub use store_move::{Direction, StoreMove, StoreMoveError, Transferred};
pub use tag::Tag;
pub use webhook::{WebhookFailure, WebhookFigures, WebhookInfo, WebhookState};
