//! The `apns` command from outside: exit statuses, standard output and standard error.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod batch;
mod bench;
mod channels;
mod check;
mod credentials;
#[cfg(unix)]
mod deadlines;
mod decode;
mod demo;
mod expirations;
mod explain;
mod feedback;
mod forms;
mod layers;
mod live;
mod manual;
mod metrics;
mod network;
mod outcomes;
mod provider;
mod proxies;
mod push_types;
mod resume;
mod secrets;
mod sim;
mod simulator_file;
mod store;
mod support;
mod token;
mod trouble;
mod usage;
