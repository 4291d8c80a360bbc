//! Moving the outbox of one daemon into the database of several, and back, as a configuration has both.

use crate::config::{Config, ConfigError};

/// Which way the outbox is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the file in `data` to the database of `[store]`.
    ToPostgres,
    /// From the database of `[store]` to the file in `data`.
    ToSqlite,
}

/// How many rows there are of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[non_exhaustive]
pub struct Transferred {
    /// Apps of which something was ever stored.
    pub apps: u64,
    /// Notifications without an outcome.
    pub pending: u64,
    /// Outcomes.
    pub outcomes: u64,
    /// Idempotency keys.
    pub idempotency_keys: u64,
    /// Invalid tokens.
    pub invalid_tokens: u64,
}

/// Why the outbox is not moved, or not yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreMoveError {
    /// The configuration cannot be used for it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// This program knows one store.
    #[error("this program was built without the feature `postgres`")]
    NotBuilt,
    /// A store, or what is in it.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Transfer(#[from] crate::outbox::transfer::TransferError),
}

/// A move of the outbox between the two stores that a configuration names. No daemon may use either of them.
///
/// The store that it leaves is marked, and daemons refuse it from then on. A move can break off at any point, and be
/// [run](Self::run) again.
#[derive(Debug)]
pub struct StoreMove {
    #[cfg(feature = "postgres")]
    directory: std::path::PathBuf,
    #[cfg(feature = "postgres")]
    server: crate::outbox::postgres::PostgresSettings,
    #[cfg(feature = "postgres")]
    direction: Direction,
}

#[cfg(feature = "postgres")]
impl StoreMove {
    /// The move in this direction.
    ///
    /// # Errors
    ///
    /// [`StoreMoveError::Config`] without a `[store]`, or where its files cannot be read.
    pub fn new(config: &Config, direction: Direction) -> Result<Self, StoreMoveError> {
        let store =
            config.store.as_ref().ok_or_else(|| ConfigError::at("store", "it is missing: name the database"))?;
        Ok(Self { directory: config.data.clone(), server: store.settings()?, direction })
    }

    /// Moves everything, and tells meanwhile how many rows have been moved.
    ///
    /// # Errors
    ///
    /// [`StoreMoveError`].
    pub async fn run(&self, told: impl FnMut(Transferred) + Send) -> Result<Transferred, StoreMoveError> {
        Ok(crate::outbox::transfer::transfer(&self.directory, &self.server, self.direction, told).await?)
    }

    /// Takes back a move that has begun and is not done: the store that it was to leave can be used again.
    ///
    /// # Errors
    ///
    /// [`StoreMoveError`].
    pub async fn cancel(&self) -> Result<(), StoreMoveError> {
        Ok(crate::outbox::transfer::cancel(&self.directory, &self.server, self.direction).await?)
    }
}

#[cfg(not(feature = "postgres"))]
#[expect(clippy::unused_async, reason = "it is the same with the feature `postgres`")]
impl StoreMove {
    /// The move in this direction.
    ///
    /// # Errors
    ///
    /// [`StoreMoveError::NotBuilt`].
    pub fn new(config: &Config, direction: Direction) -> Result<Self, StoreMoveError> {
        let _ = (config, direction);
        Err(StoreMoveError::NotBuilt)
    }

    /// Moves everything.
    ///
    /// # Errors
    ///
    /// [`StoreMoveError::NotBuilt`].
    pub async fn run(&self, told: impl FnMut(Transferred) + Send) -> Result<Transferred, StoreMoveError> {
        let _ = told;
        Err(StoreMoveError::NotBuilt)
    }

    /// Takes back a move.
    ///
    /// # Errors
    ///
    /// [`StoreMoveError::NotBuilt`].
    pub async fn cancel(&self) -> Result<(), StoreMoveError> {
        Err(StoreMoveError::NotBuilt)
    }
}
