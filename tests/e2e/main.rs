// SPDX-License-Identifier: MIT OR Apache-2.0

//! End to end: real phones, a real Kamailio, a real authorization server.

#[path = "../support/mod.rs"]
mod support;

mod harness;
