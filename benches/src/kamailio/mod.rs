// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real Kamailio under load: what a request costs the proxy with each way to authenticate it.

pub mod counted;
pub mod digest;
pub mod generator;
pub mod keys;
pub mod message;
pub mod morning;
pub mod phones;
pub mod proxy;
pub mod results;
pub mod rounds;
pub mod server;
pub mod site;
pub mod waiting;

/// The users that register: `u0` to `u9999`.
pub const USERS: usize = 10_000;
/// Their SIP domain.
pub const DOMAIN: &str = "example.test";
/// Whom tokens are for.
pub const AUDIENCE: &str = "sip";
/// What the generator may have on its way at once.
pub const WINDOW: usize = 16;

/// The address-of-record of a user.
pub fn address(user: usize) -> String {
    format!("sip:u{user}@{DOMAIN}")
}
