// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the benches share: the form of their results, and the statistics of paired rounds.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod devices;
pub mod kamailio;
pub mod opensips;
pub mod page;
pub mod part;
pub mod proxies;
pub mod refer;
pub mod report;
pub mod rounds;
pub mod scale;
