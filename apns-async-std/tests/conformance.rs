//! What every transport has to show, shown on async-std and the system's TLS.

apns_conformance::tests!(apns_async_std::AsyncStd, async_std::task::block_on);

/// The same over a connector of async-native-tls.
#[cfg(feature = "async-native-tls")]
mod over_async_native_tls {
    apns_conformance::tests!(apns_async_std::AsyncNativeTls, async_std::task::block_on);
}
