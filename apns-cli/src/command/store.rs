//! `apns store`: the outbox of the daemon, while no daemon uses it.

use std::fmt;
use std::path::PathBuf;

use apnsd::{Direction, StoreMove, StoreMoveError, Transferred};
use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::daemon::load;
use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use crate::runtime::block_on;

/// The options of `apns store`.
#[derive(Debug, Args)]
pub(crate) struct StoreFlags {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Move everything from the file in `data` to the database of `[store]`, or back. Stop all daemons first
    Move(MoveFlags),
}

#[derive(Debug, Args)]
struct MoveFlags {
    /// The daemon's configuration, with both `data` and `[store]`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The store that takes everything. It has to be empty
    #[arg(long, value_enum)]
    to: To,
    /// Take back a move that broke off, so that the store that it was to leave can be used again
    #[arg(long)]
    cancel: bool,
    /// Print what was moved as a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// The database of `[store]`
    Postgres,
    /// The file in `data`
    Sqlite,
}

impl From<StoreMoveError> for Failure {
    fn from(error: StoreMoveError) -> Self {
        Self::Special(Box::new(Unmoved(error)))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the outbox is not moved: {0}")]
struct Unmoved(StoreMoveError);

/// What was moved, as it is printed.
#[derive(Serialize)]
struct Row {
    moved: Transferred,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Transferred { apps, pending, outcomes, idempotency_keys, invalid_tokens, .. } = self.moved;
        write!(
            f,
            "moved: {pending} notifications that wait, {outcomes} outcomes, {idempotency_keys} idempotency keys and \
             {invalid_tokens} invalid tokens of {apps} apps"
        )
    }
}

impl StoreFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let Order::Move(flags) = self.order;
        block_on(flags.run())?
    }
}

impl MoveFlags {
    async fn run(self) -> Result<Exit, Failure> {
        let direction = match self.to {
            To::Postgres => Direction::ToPostgres,
            To::Sqlite => Direction::ToSqlite,
        };
        let config = load(&self.config)?;
        let order = StoreMove::new(&config, direction)?;
        if self.cancel {
            order.cancel().await?;
            say(format_args!("the move is taken back: the store that it was to leave can be used again"));
            return Ok(Exit::Fine);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("{spinner} {pos} rows moved").expect("the template is right"));
        let moved = order.run(|so_far| bar.set_position(rows(so_far))).await;
        bar.finish_and_clear();
        let mut output = Output::new();
        output.row(self.json, &Row { moved: moved? });
        output.finish()?;
        Ok(Exit::Fine)
    }
}

fn rows(so_far: Transferred) -> u64 {
    so_far.pending + so_far.outcomes + so_far.idempotency_keys + so_far.invalid_tokens
}
