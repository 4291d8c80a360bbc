//! The outbox that a configuration names.

use std::sync::Arc;

use super::StartError;
use crate::config::Config;
use crate::outbox::sqlite::SqliteOutbox;
use crate::outbox::{Outbox, OutboxError};

/// Opens it: the PostgreSQL of `[store]`, otherwise the file in `data`.
pub(super) async fn open(config: &Config) -> Result<Arc<dyn Outbox>, StartError> {
    if let Some(store) = &config.store {
        return open_shared(config, store).await;
    }
    let (data, bounds) = (config.data.clone(), config.bounds.clone());
    let opened = tokio::task::spawn_blocking(move || SqliteOutbox::open(&data, bounds)).await;
    Ok(Arc::new(opened.unwrap_or(Err(OutboxError::Closed))?))
}

#[cfg(feature = "postgres")]
async fn open_shared(config: &Config, store: &crate::config::StoreConfig) -> Result<Arc<dyn Outbox>, StartError> {
    let settings = store.settings()?;
    let outbox = crate::outbox::postgres::PostgresOutbox::open(&settings, config.bounds.clone()).await?;
    tracing::info!("node {} shares the outbox of {} with others", store.node()?, store.url);
    Ok(Arc::new(outbox))
}

#[cfg(not(feature = "postgres"))]
async fn open_shared(_: &Config, _: &crate::config::StoreConfig) -> Result<Arc<dyn Outbox>, StartError> {
    let why = "this program was built without PostgreSQL: build it with the feature postgres, or take [store] out";
    Err(OutboxError::Unusable(why.to_owned()).into())
}
