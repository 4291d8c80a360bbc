//! An inbox for pushes: what the simulator took, as a phone would show it, with the truth beside it.
//!
//! Everybody who works on pushes without a phone at hand sends blind. This crate listens to a
//! [`Simulator`](apns_sim::Simulator) and serves a page that shows each push live: banners, badges, Live Activities, what
//! only wakes an app, what was refused and by which rule, with the request as it came. The same is to be had over HTTP and
//! JSON, for tests in any language; `docs/inbox.md` shows how, and `/openapi.json` describes it.
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
//! It is bounded: the last 10 000 pushes are kept in memory, unless [`Settings::keep`] says otherwise. It has no password:
//! anybody who reaches its port reads payloads and device tokens, so it is for test data, and listens on loopback unless it
//! is told otherwise. Pages of other sites can neither read it nor act on it.

mod again;
mod api;
mod bad_day;
mod clock;
mod content;
mod filter;
mod http;
mod inbox;
mod names;
mod page;
mod phone;
mod push;
mod roster;
mod rules;
mod store;
#[cfg(test)]
mod testing;

pub use inbox::{Inbox, InboxError, Recorder, Serving, Settings};
pub use names::{Names, NamesError};

/// Runs the program of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
