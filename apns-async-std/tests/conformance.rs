//! What every transport has to show, shown on async-std and the system's TLS.

apns_conformance::tests!(apns_async_std::AsyncStd, async_std::task::block_on);
