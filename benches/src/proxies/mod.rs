// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the benches of Kamailio and of OpenSIPS share: a running proxy, the load, the authorization server, and its tokens.

pub mod generator;
pub mod ground;
pub mod keys;
pub mod loads;
pub mod message;
pub mod process;
pub mod server;
pub mod times;

/// The users that register: `u0` to `u9999`.
pub const USERS: usize = 10_000;
/// Their SIP domain.
pub const DOMAIN: &str = "example.test";
/// The name of the provider.
pub const PROVIDER: &str = "bench";
/// Whom tokens are for.
pub const AUDIENCE: &str = "sip";
/// What the generator may have on its way at once.
pub const WINDOW: usize = 16;

/// The address-of-record of a user.
pub fn address(user: usize) -> String {
    format!("sip:u{user}@{DOMAIN}")
}
