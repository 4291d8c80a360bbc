//! Connections to the server: a few of them, each used by one at a time.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Connection, Row, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

use crate::outbox::OutboxError;

/// How long the server may take for one call. What it does not say by then is not known, and is asked for again.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// How long opening a connection may take.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

/// What every session sets. A commit is answered when it is durable, with the standbys that the server wants; no statement is
/// ever cancelled, because one that waits for a standby would be answered as if it had one. A process that stands still within
/// a transaction loses its locks.
const SESSION: &str = "SET search_path = apnsd, pg_temp; SET synchronous_commit = on; SET statement_timeout = 0;
    SET lock_timeout = 0; SET idle_in_transaction_session_timeout = '5s'; SET default_transaction_isolation = 'read committed';
    SET client_min_messages = error; SET jit = off";

/// A connection as the library gives it.
pub(super) type Driven = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

pub(super) type Param<'a> = &'a (dyn ToSql + Sync);

/// Why a call did not do what it was asked for.
#[derive(Debug)]
pub(in crate::outbox) enum Trouble {
    /// As the caller is to be told.
    Store(OutboxError),
    /// The server or the way to it.
    Server(tokio_postgres::Error),
    /// No answer came in time.
    Silent,
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<Trouble> for OutboxError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Store(error) => error,
            Trouble::Server(error) => Self::Failed(words(&error)),
            Trouble::Silent => {
                Self::Failed(format!("PostgreSQL does not answer within {} seconds", ANSWERS_WITHIN.as_secs()))
            }
        }
    }
}

/// The message alone: details may have values of rows in them.
fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("PostgreSQL: {} ({})", error.message(), error.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("PostgreSQL: {error}: {source}"),
            None => format!("PostgreSQL: {error}"),
        },
    }
}

/// How to reach the server.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: MakeRustlsConnect,
}

impl Address {
    pub(super) async fn connect(&self) -> Result<Link, Trouble> {
        self.connect_with(|connection| async move { drop(connection.await) }).await
    }

    /// With what drives the connection. It ends with the client, or tells it why there is no more.
    pub(super) async fn connect_with<F>(&self, drive: impl FnOnce(Driven) -> F) -> Result<Link, Trouble>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let connect = async {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            tokio::spawn(drive(connection));
            client.batch_execute(SESSION).await?;
            Ok(Link { client, prepared: Mutex::default() })
        };
        timeout(CONNECTS_WITHIN, connect).await.unwrap_or(Err(Trouble::Silent))
    }
}

/// A connection.
pub(in crate::outbox) struct Link {
    pub(in crate::outbox) client: Client,
    prepared: Mutex<HashMap<&'static str, Statement>>,
}

impl Link {
    /// The statement, prepared once for each connection.
    pub(super) async fn statement(&self, sql: &'static str) -> Result<Statement, Trouble> {
        let known = self.prepared.lock().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared.lock().insert(sql, statement.clone());
        Ok(statement)
    }

    pub(in crate::outbox) async fn rows(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Trouble> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query(&statement, params).await?)
    }

    /// One that gives a row.
    pub(in crate::outbox) async fn one(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Row, Trouble> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query_one(&statement, params).await?)
    }

    pub(in crate::outbox) async fn run(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, Trouble> {
        let statement = self.statement(sql).await?;
        Ok(self.client.execute(&statement, params).await?)
    }

    /// Statements without parameters.
    pub(in crate::outbox) async fn batch(&self, sql: &str) -> Result<(), Trouble> {
        Ok(self.client.batch_execute(sql).await?)
    }
}

/// Some connections, opened when they are wanted.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    address: Address,
    free: Semaphore,
    idle: Mutex<Vec<Arc<Link>>>,
    closed: CancellationToken,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(address: Address, connections: usize, closed: CancellationToken) -> Self {
        Self(Arc::new(Inner { address, free: Semaphore::new(connections), idle: Mutex::default(), closed }))
    }

    /// Has something done on a connection, to its end, also when nobody waits for the answer.
    pub(super) async fn run<T, F>(&self, job: impl FnOnce(Arc<Link>) -> F + Send + 'static) -> Result<T, OutboxError>
    where
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
        T: Send + 'static,
    {
        let pool = self.0.clone();
        let done = tokio::spawn(async move { pool.run(job).await });
        Ok(done.await.unwrap_or(Err(Trouble::Store(OutboxError::Closed)))?)
    }

    /// The same for one who waits, and wants to know why it failed.
    pub(super) async fn run_here<T, F>(&self, job: impl FnOnce(Arc<Link>) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        self.0.run(job).await
    }
}

impl Inner {
    async fn run<T, F>(&self, job: impl FnOnce(Arc<Link>) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let closed = || Trouble::Store(OutboxError::Closed);
        if self.closed.is_cancelled() {
            return Err(closed());
        }
        let _mine = self.free.acquire().await.map_err(|_| closed())?;
        let mut idle = None;
        while let Some(link) = self.idle.lock().pop() {
            if !link.client.is_closed() {
                idle = Some(link);
                break;
            }
        }
        let link = match idle {
            Some(link) => link,
            None => Arc::new(self.address.connect().await?),
        };
        let done = timeout(ANSWERS_WITHIN, job(link.clone())).await.unwrap_or(Err(Trouble::Silent));
        let clean = match &done {
            Ok(_) => true,
            // The server may be at it still: what it does is its own, and this connection is over.
            Err(Trouble::Silent) => false,
            // What cut this connection has cut the others as well.
            Err(Trouble::Server(error)) if error.is_closed() || error.as_db_error().is_none() => {
                self.idle.lock().clear();
                false
            }
            Err(_) => matches!(timeout(CONNECTS_WITHIN, link.batch("ROLLBACK")).await, Ok(Ok(()))),
        };
        if clean && !self.closed.is_cancelled() {
            self.idle.lock().push(link);
        }
        done
    }
}

/// Whether the same call may succeed at once: others were in the way.
pub(super) fn was_in_the_way(trouble: &Trouble) -> bool {
    let Trouble::Server(error) = trouble else { return false };
    error
        .code()
        .is_some_and(|code| *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE)
}
