//! Attacks on the gate over real sockets: the corpus through each door and through real balancers, and HTTP/2 in frames made by hand.

mod corpus;
mod differential;
mod http2;
mod products;
