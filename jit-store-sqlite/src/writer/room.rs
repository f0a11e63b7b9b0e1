//! Room in a stream's row for what its state will gain.
//!
//! SQLite overwrites a row where it lies if the new one is exactly as long. What differs between two versions of a row is its version, its
//! kind and its state, and the slack makes up for them.

use jit_core::approval::state::State;
use jit_core::broker::store::{Facets, Version};

/// Shorter texts have a shorter length before them, which would have to be counted too.
const LEAST: usize = 58;
/// Longer ones a longer length; and rows as long as this lie on pages of their own.
const MOST: usize = 4096;

/// Nothing, at any length that a slack can have.
pub(super) static NOTHING: [u8; MOST] = [0; MOST];

/// What the parts of a row that change take together, in bytes.
fn taken(version: Version, facets: &Facets, state: &str) -> usize {
    // SQLite's integers, in a row: those of one byte after 0 and 1, which need none, and so on.
    let number = match version {
        0..=1 => 0,
        2..=0x7f => 1,
        0x80..=0x7fff => 2,
        0x8000..=0x7f_ffff => 3,
        0x80_0000..=0x7fff_ffff => 4,
        0x8000_0000..=0x7fff_ffff_ffff => 6,
        _ => 8,
    };
    number + facets.state.map_or(0, |kind| kind.as_str().len()) + state.len()
}

/// How many bytes a row gets for its changing parts and its slack: as many as it has, if they are enough. A request grows by half on
/// its way to a grant.
pub(super) fn room(has: Option<usize>, version: Version, facets: &Facets, state: &str) -> usize {
    let taken = taken(version, facets, state);
    if let Some(has) = has
        && slack_in(has, taken, state) > 0
    {
        return has;
    }
    let over = facets.state.is_some_and(State::is_terminal);
    if over || !(LEAST..=MOST / 2).contains(&state.len()) {
        return taken;
    }
    taken + LEAST + state.len() / 2
}

/// The slack in a row with this room.
pub(super) fn slack(room: usize, version: Version, facets: &Facets, state: &str) -> usize {
    slack_in(room, taken(version, facets, state), state)
}

fn slack_in(room: usize, taken: usize, state: &str) -> usize {
    match room.checked_sub(taken) {
        Some(slack @ LEAST..=MOST) if (LEAST..=MOST).contains(&state.len()) => slack,
        _ => 0,
    }
}
