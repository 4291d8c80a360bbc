//! One source of provider tokens for each signing key, however many apps use it: the service counts their changes.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use apns_credentials::{SigningKey, SigningSource};
use apns_proto::http2::{KeyId, TeamId, TokenPolicy, TokenSource};
use parking_lot::Mutex;

/// The name of a key, and the key itself: another key under the same name is another one.
type KeyName = (String, String, [u8; 65]);

/// The sources that are in use.
#[derive(Debug, Default)]
pub(crate) struct KeyRing(Mutex<HashMap<KeyName, Weak<SigningSource>>>);

impl KeyRing {
    /// The source of a key, the same for as long as somebody uses it.
    pub(crate) fn source(&self, key: &SigningKey, key_id: &KeyId, team_id: &TeamId) -> Arc<dyn TokenSource> {
        let name = (key_id.as_str().to_owned(), team_id.as_str().to_owned(), key.public_key());
        let mut sources = self.0.lock();
        sources.retain(|_, source| source.strong_count() > 0);
        if let Some(source) = sources.get(&name).and_then(Weak::upgrade) {
            return source;
        }
        // Other nodes have the key as well, and this process may be restarted.
        let policy = TokenPolicy::shared();
        let source = Arc::new(SigningSource::with_policy(key.clone(), key_id.clone(), team_id.clone(), policy));
        sources.insert(name, Arc::downgrade(&source));
        source
    }
}
