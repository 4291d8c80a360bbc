//! An inbox for pushes: shows what the simulator received as a phone would show it, with the request and the answer.
//!
//! Without a phone, a developer of push notifications cannot see what a device does with them. This crate records what a
//! [`Simulator`](apns_sim::Simulator) receives and serves a web page that shows each push live: banners, badges, Live
//! Activities, pushes that only wake an app, and refused pushes with the rule that they broke, each with its request. The
//! same is available as JSON over HTTP, for tests in any language; `docs/inbox.md` shows how, and `/openapi.json` describes
//! it.
//!
//! ```
//! use std::sync::Arc;
//!
//! use apns_inbox::{Inbox, Settings};
//! use apns_sim::Simulator;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let inbox = Inbox::new(Settings::default());
//! let record = inbox.recorder();
//! let simulator = Arc::new(Simulator::builder().on_entry(move |entry| record.note(entry)).start().await?);
//! let page = inbox.serve("127.0.0.1:0".parse()?, simulator).await?;
//! println!("http://{}/", page.address());
//! page.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Memory is bounded: the inbox keeps the last 10 000 pushes, or the number in [`Settings::keep`]. With the feature `file`
//! an inbox can keep them in a file, so that they are there after a restart (`Inbox::in_file`). It has no password:
//! anyone who can connect to its port can read payloads and device tokens. Use it for test data, and let it listen on
//! loopback. Web pages of other sites can neither read it nor change anything in it.

mod again;
mod api;
mod bad_day;
mod clock;
mod content;
#[cfg(feature = "file")]
mod file;
mod filter;
mod http;
mod inbox;
mod names;
mod page;
mod phone;
mod push;
mod roster;
mod rules;
mod simulator_file;
mod store;
#[cfg(test)]
mod testing;

#[cfg(feature = "file")]
pub use file::FileError;
pub use inbox::{Inbox, InboxError, Recorder, Serving, Settings};
pub use names::{Names, NamesError};
pub use simulator_file::simulator_file;

/// Runs the program of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
