// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the store keeps: records, their format, and how they are sealed.

pub mod bound_identity;
pub mod device;
pub mod key_account;
mod packed_token;
pub mod phone_use;
pub mod redemption;
pub mod seal;
pub mod session;
pub mod session_end;
pub mod user_index;
