// SPDX-License-Identifier: MIT OR Apache-2.0
//! Adapters to the outside world.
#![forbid(unsafe_code)]

mod certificate_problem;
pub mod http;
pub mod key_check;
pub mod lmdb;
mod lmdb_keys;
mod lmdb_room;
pub mod redis;
mod resolver;
pub mod store;
