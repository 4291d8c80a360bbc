//! What every transport has to show, shown on smol and rustls.

apns_conformance::tests!(apns_smol::Smol, smol::block_on);
