//! The two worlds of the service.

/// One of the two worlds of the service. Device tokens belong to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Environment {
    /// For apps from the App Store and TestFlight.
    Production,
    /// For apps built for development.
    Sandbox,
}

impl Environment {
    /// A stable word for programs: `production` or `sandbox`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        }
    }
}
