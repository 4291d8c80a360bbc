//! What makes a batch restartable: its outcomes in a file, and beside it a journal of how far lines may have left.
//!
//! * [`results`]: the outcomes, one row for each line of the batch that is settled.
//! * [`journal`]: the mark up to which lines may have left, written before they do, and what it is about.
//! * [`store`]: both together, for one process at a time, and what a new start may do with what it finds.
//! * [`handover`]: the way from the reading to the client, past the mark and at the pace that was asked for.
//!
//! # The order of writes
//!
//! 1. The mark that covers a line is on disk before the line is handed to the client.
//! 2. A row is written after its line was handed over, and once.
//!
//! So whenever the process is killed: a line with a row is settled; a line without one up to the mark may have left; a
//! line behind the mark did not leave. What the kernel took is not lost with the process, so rows are not forced to the
//! disk one by one: those that a loss of power takes belong to lines up to the mark, which then count as such that may
//! have left.

pub(crate) mod departures;
pub(crate) mod drops;
pub(crate) mod fingerprint;
pub(crate) mod form;
pub(crate) mod handover;
pub(crate) mod journal;
pub(crate) mod ledger;
pub(crate) mod lines;
pub(crate) mod pacer;
pub(crate) mod reasons;
pub(crate) mod results;
pub(crate) mod store;
