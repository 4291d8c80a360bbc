//! Runs the programs of the project's README and of the pages beside this file. They use more than one transport.

/// The README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// The page about proxies.
#[cfg(doctest)]
#[doc = include_str!("proxies.md")]
pub struct Proxies;

/// The page about tests.
#[cfg(doctest)]
#[doc = include_str!("testing.md")]
pub struct Testing;
