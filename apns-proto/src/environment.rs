//! The two worlds of the service.

enum_with_texts! {
    /// One of the two worlds of the service. Device tokens belong to one of them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Environment {
        /// For apps from the App Store and TestFlight.
        Production = "production",
        /// For apps built for development.
        Sandbox = "sandbox",
    }

    /// A stable word for programs: `production` or `sandbox`.
    fn word;
}
