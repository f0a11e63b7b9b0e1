//! Getting published keys: the port, and the client behind it.

use std::fmt;

use async_trait::async_trait;

#[cfg(feature = "fetch")]
mod https;

#[cfg(feature = "fetch")]
pub use https::{BadClient, HttpsFetch};

/// Largest answer that is read, in bytes: 1 MiB.
pub const BODY_MAX: usize = 1024 * 1024;

/// Gets a document over the network.
///
/// # Contract
/// - A GET without credentials. Whoever answers is who the URL names: over TLS, with the server's name checked.
/// - Only the body of a 200 is an answer. A redirect is an error: the one who answers must not choose where keys come from.
/// - A body over [`BODY_MAX`] is an error, found before it is in memory. It ends within seconds, one way or the other.
#[async_trait]
pub trait Fetch: fmt::Debug + Send + Sync + 'static {
    /// The body behind `url`.
    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError>;
}

/// Nothing usable came back.
#[derive(Debug, thiserror::Error)]
#[error("{url} could not be read: {source}")]
pub struct FetchError {
    /// What was asked for.
    pub url: String,
    /// What went wrong.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl FetchError {
    /// `source` went wrong with `url`.
    pub fn new(url: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            url: url.to_owned(),
            source: source.into(),
        }
    }
}
