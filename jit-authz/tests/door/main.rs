//! The endpoints as balancers see them, over real sockets.

mod corpus;
mod dialects;
mod envoy_grpc;
mod limits;
mod world;
