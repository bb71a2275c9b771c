// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the store keeps: records, their format, and how they are sealed.

pub mod bound_identity;
pub mod key_account;
mod packed_token;
pub mod redemption;
pub mod seal;
pub mod session;
