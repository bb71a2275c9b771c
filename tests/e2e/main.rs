// SPDX-License-Identifier: MIT OR Apache-2.0

//! End to end: real phones, a real Kamailio with our module, a real authorization server.

#[path = "../support/mod.rs"]
mod support;

mod browser_websocket;
mod configuration;
mod harness;
mod kemi;
mod keys;
mod limits;
mod mixed_fleet;
mod operations;
mod phones;
mod proxy_407;
mod registrar_sso;
mod session_at_rest;
mod session_cluster;
mod session_duplicates;
mod session_faults;
mod session_kills;
mod session_refresh;
mod session_short_codes;
mod sessions;
mod stack;
