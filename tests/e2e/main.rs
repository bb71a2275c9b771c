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
mod proxy_407;
mod registrar_sso;
mod stack;
