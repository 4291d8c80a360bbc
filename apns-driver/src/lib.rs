//! What every APNs transport shares and no particular runtime is needed for.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod identity;

pub use identity::{Identity, IdentityError};
