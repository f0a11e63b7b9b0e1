//! The last words on what is cut: why it ends, where the protocol has room for that.
//!
//! - A stream of events ([`Events`]) gets one more, if it stands between two of them.
//! - A WebSocket ([`Frames`]) gets a close frame, if it stands between two frames.
//!
//! Doors follow what they send with these, and say the words in their own way. Everything else breaks off.

mod events;
mod frames;

pub use events::Events;
pub use frames::Frames;
