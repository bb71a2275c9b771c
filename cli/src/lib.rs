// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part of the operator's tool that reads the configuration of a proxy.
#![forbid(unsafe_code)]

pub mod script;
