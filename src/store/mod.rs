// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stores of sessions and accounts: a folder that all processes of a machine share, or Redis.

pub mod access;
pub(crate) mod account_cache;
pub mod accounts;
pub mod key_check;
pub mod lmdb;
mod lmdb_keys;
mod lmdb_room;
pub mod open;
pub mod phones;
pub mod redis;
pub mod session_admin;
pub mod session_ends;
pub mod session_tokens;
pub mod sessions;
pub mod token_answers;
