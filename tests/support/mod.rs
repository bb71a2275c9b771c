// SPDX-License-Identifier: MIT OR Apache-2.0

//! Real servers and phones for the tests, all on loopback, all ended by `Drop`.
//!
//! A harness that cannot do its work panics with a sentence; what a test may
//! want to judge itself (a refusal, silence, a crash of a phone) is returned.

// Each test program uses its own part of the harness.
#![allow(dead_code)]

pub mod authorization_server;
pub mod browser;
pub mod certificates;
pub mod code_server;
pub mod connect_proxy;
pub mod desk_phone;
pub mod digest;
pub mod digest_phone;
pub mod encryption;
pub mod fault_proxy;
pub mod host;
pub mod http;
pub mod kamailio;
pub mod kit;
pub mod knows_nothing;
pub mod leak;
pub mod load;
pub mod log_lines;
pub mod opaque;
pub mod opensips;
pub mod page;
pub mod patience;
pub mod ports;
pub mod process;
pub mod redis;
pub mod sanitized;
pub mod scripted_server;
pub mod sip;
pub mod sipp;
pub mod small_disk;
pub mod temporary;
pub mod tls_tunnel;
pub mod token;
pub mod tool;
pub mod websocket;
pub mod wire;
