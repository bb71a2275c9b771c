// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sign-in page: a server of its own at which users sign in with a browser and add their phones.
//!
//! It shares the store and the configuration with the proxies. What it does with tokens and sessions is in
//! `sipoauth-core` and `sipoauth`; here are pages, cookies and limits.

#![forbid(unsafe_code)]

mod browser_session;
pub mod connections;
mod cookies;
mod forms;
mod limits;
mod log;
mod logout;
mod metrics;
mod monitoring;
mod pages;
mod phones;
mod provisioning;
mod random;
mod router;
mod servers;
mod sign_in;
mod site;
mod source;
mod texts;
mod times;
mod visitor;

pub use router::router;
pub use site::Site;
