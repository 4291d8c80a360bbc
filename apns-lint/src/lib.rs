//! Finds what is wrong with a payload before it is sent.
//!
//! The service checks the size of a payload and little else: it answers 200 to payloads that a device then drops
//! silently. A Live Activity that starts without an alert, a badge that is a string, a date counted from 2001, a key beside
//! `aps` instead of inside it: none of these causes an error. This crate compares a payload with everything that Apple
//! documents for its push type.
//!
//! ```
//! use apns_lint::{Lint, Severity};
//! use apns_proto::PushType;
//!
//! let payload = br#"{"aps":{"alert":"Tea is ready","badge":"1"}}"#;
//! let findings = Lint::new(payload).with_push_type(PushType::Alert).findings();
//! assert_eq!(findings.len(), 1);
//! assert_eq!((findings[0].at.as_str(), findings[0].severity), ("aps.badge", Severity::Dropped));
//! assert_eq!(findings[0].what, "it has to be a whole number of 0 or more, and is a text");
//! ```
//!
//! [`schema`] returns the same table as a JSON Schema for each push type, for editors and for tests in other languages. A
//! schema cannot express some rules, such as the one for dates that are counted from 2001; only [`Lint`] checks these.
//!
//! This crate does no I/O. Findings name keys and types, and never contain a value of the payload.

mod json;
mod lint;
mod rules;
mod schema;
mod shape;
mod table;

pub use lint::{Finding, Lint, Severity};
pub use schema::schema;

/// Runs the program of this crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
