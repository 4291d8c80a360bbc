//! Where Apple's servers are.
//!
//! Sources: Apple, "Sending notification requests to APNs", "Sending broadcast push notification requests to APNs" and
//! "Sending channel management requests to APNs".

/// Pushes to devices and broadcasts, production.
pub const PRODUCTION: &str = "api.push.apple.com";

/// Pushes to devices and broadcasts, development.
pub const SANDBOX: &str = "api.sandbox.push.apple.com";

/// The older name of [`SANDBOX`], which some of Apple's examples still have.
pub const DEVELOPMENT: &str = "api.development.push.apple.com";

/// The port for pushes and broadcasts.
pub const PORT: u16 = 443;

/// The other port for pushes, for firewalls that do not let [`PORT`] through.
pub const ALTERNATIVE_PORT: u16 = 2197;

/// Another name for broadcasts in production. Apple's pages name it in some places and [`PRODUCTION`] in others.
pub const BROADCAST_PRODUCTION: &str = "api-broadcast.push.apple.com";

/// Another name for broadcasts in development. Apple's pages name it in some places and [`SANDBOX`] in others.
pub const BROADCAST_SANDBOX: &str = "api-broadcast.sandbox.push.apple.com";

/// Channel management, production.
pub const CHANNELS_PRODUCTION: &str = "api-manage-broadcast.push.apple.com";

/// The port of [`CHANNELS_PRODUCTION`].
pub const CHANNELS_PRODUCTION_PORT: u16 = 2196;

/// Channel management, development.
pub const CHANNELS_SANDBOX: &str = "api-manage-broadcast.sandbox.push.apple.com";

/// The port of [`CHANNELS_SANDBOX`].
pub const CHANNELS_SANDBOX_PORT: u16 = 2195;
