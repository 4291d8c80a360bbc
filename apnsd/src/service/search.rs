//! Why did this user get nothing? Notifications are found by what a caller knows of them.

use super::Service;
use crate::AppName;
use crate::outbox::{Cursor, Found, OutboxError, Search};

/// So many steps are taken for one answer. The store bounds what each of them costs.
const STEPS: usize = 16;

impl Service {
    /// Looks for notifications of an app. With a device token, a collapse id, a tag or an `apns-id`, the one that was accepted last
    /// comes first; without, what has not ended comes first, and then what ended last. Gives at most `limit` of them; a page with a
    /// place to go on may have fewer, and even none.
    ///
    /// # Errors
    ///
    /// When the outbox fails, keeps no device tokens for look-ups and is asked for one, or did not make the cursor.
    pub async fn search(
        &self,
        app: &AppName,
        search: Search,
        after: &Cursor,
        limit: usize,
    ) -> Result<Found, OutboxError> {
        let mut found = Found { notifications: Vec::new(), next: Some(after.clone()) };
        for _ in 0..STEPS {
            let left = limit - found.notifications.len();
            let Some(after) = found.next.take_if(|_| left > 0) else { break };
            let step = self.0.outbox.search(app, search.clone(), &after, left).await?;
            found.notifications.extend(step.notifications);
            found.next = step.next;
        }
        Ok(found)
    }
}
