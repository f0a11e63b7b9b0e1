//! Attacks on the gate over real sockets: the corpus through each door, and HTTP/2 in frames made by hand.

mod corpus;
mod http2;
