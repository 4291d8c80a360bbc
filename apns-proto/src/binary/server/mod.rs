//! The other side of the binary protocol, for simulators and bridges.

mod feedback;
mod gateway;

pub use feedback::FeedbackServer;
pub use gateway::{GatewayEnd, GatewayEvent, GatewayServer, Judge, Verdict, is_probe};
