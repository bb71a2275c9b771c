// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared keys, proofs of possession, and the keys and verifiers that are derived from passwords.

pub mod master_key;
pub mod pbkdf2;
pub mod pop;
pub mod shared_key;
pub mod verifier;
