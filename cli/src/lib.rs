// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the operator's tool knows of the proxies whose configuration it reads.
#![forbid(unsafe_code)]

pub mod kamailio;
