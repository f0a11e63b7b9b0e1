//! The heart, through its public door: every numbered rule of the approval machine through the broker and the gate, on the memory store
//! and on SQLite; the table of every state and command; and properties over random histories with racing actors.

mod hostile;
mod interactions;
mod passkeys;
mod planes;
mod properties;
mod pursuing;
mod races;
mod rig;
mod rules;
mod table;
mod targets;
