//! Checking the whole audit log, as a store has it.

use crate::approval::audit::{Tail, verify};
use crate::broker::store::{PAGE_MAX, Store, StoreError};

/// Reads the log from its first record and checks the chain: a record that was changed, dropped, added or moved shows. Answers the
/// newest position and hash. Compare them with those kept elsewhere: a log that lost its end, or was made anew, is a whole chain too.
///
/// It takes as long as reading the log takes; nothing but the caller's start waits for it.
///
/// # Errors
/// [`StoreError::Damaged`], which names the position; else the store's.
pub async fn verify_log(store: &dyn Store) -> Result<Tail, StoreError> {
    let mut tail = Tail::START;
    loop {
        let records = store.feed(tail.position, PAGE_MAX).await?;
        if records.is_empty() {
            return Ok(tail);
        }
        tail = verify(tail, &records).map_err(|broken| StoreError::Damaged {
            what: broken.to_string(),
        })?;
    }
}
