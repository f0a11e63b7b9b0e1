//! The Notifier: tells people that something waits for them.

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

use crate::approval::request::Request;
use crate::broker::store::Record;

/// One thing that happened, with the request it happened to.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    /// The audit record; its position is the message's id: the same position is the same message.
    pub record: Record,
    /// The request after it, where it concerns one. What is shown to a person comes from here and from nowhere else.
    pub request: Option<Request>,
}

/// Why a message could not be handed over. It is tried again.
#[derive(Debug, thiserror::Error)]
#[error("the notifier could not deliver: {source}")]
pub struct NotifyError {
    /// What went wrong.
    #[from]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Hands messages on: to a chat, a mailbox, a webhook.
///
/// # Contract
/// - Called at least once for each record but those of what was done under grants, in the order of the log; a crash between delivery and the cursor's move repeats the
///   last messages. Dedupe by `record.position`.
/// - An error stops the queue until a later try succeeds; it never blocks a decision.
/// - A message carries no right: whoever acts on one is authenticated anew.
#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync + 'static {
    /// Hands over one message.
    async fn notify(&self, message: &Message) -> Result<(), NotifyError>;
}
