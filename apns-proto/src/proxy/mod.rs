//! The way through a proxy: its URL, when it is used, and the opening of a tunnel to the service.
//!
//! Two protocols are spoken, both without I/O: HTTP `CONNECT` (RFC 9110 section 9.3.6), to a proxy in plain text or with
//! TLS, and SOCKS version 5 (RFC 1928) with or without a user and a password (RFC 1929). Names are resolved by the proxy: in
//! a network that needs one, a machine often cannot resolve names of the Internet.
//!
//! TLS to the service goes through the tunnel, so the proxy sees the service's name and the amount of data, and nothing
//! else.
//!
//! # Opening a tunnel
//!
//! A [`Tunnel`] is told what the proxy says, and says what to write. It has no deadline of its own: the transport gives up
//! when its time to connect is over.
//!
//! ```
//! use apns_proto::proxy::{Proxy, Tunnel, TunnelEvent};
//! use bytes::BytesMut;
//!
//! let proxy: Proxy = "http://proxy.example:3128".parse()?;
//! let mut tunnel = Tunnel::new(&proxy, "api.push.apple.com", 443)?;
//!
//! let mut out = BytesMut::new();
//! tunnel.poll_transmit(&mut out);
//! assert!(out.starts_with(b"CONNECT api.push.apple.com:443 HTTP/1.1\r\n"));
//!
//! // The answer, in any pieces.
//! tunnel.handle_input(b"HTTP/1.1 200 Connection ");
//! assert_eq!(tunnel.poll_event(), None);
//! tunnel.handle_input(b"established\r\n\r\n");
//! // From here on the stream is the service's.
//! let Some(TunnelEvent::Open { early }) = tunnel.poll_event() else { panic!("the proxy said yes") };
//! assert!(early.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connect;
mod failure;
mod host;
mod socks5;
mod tunnel;
mod url;
mod variables;

pub use failure::{ProxyCause, ProxyFailure};
pub use tunnel::{ProxyTargetError, Tunnel, TunnelEvent};
pub use url::{Proxy, ProxyScheme, ProxyUrlError};
pub use variables::ProxyVariableError;
