// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secrets that are stored. They are erased when they are dropped, and never shown.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A shared key, or a proof that is kept.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize, Zeroize, ZeroizeOnDrop)]
pub struct KeyOctets(pub [u8; 32]);

impl std::fmt::Debug for KeyOctets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyOctets(…)")
    }
}

/// A text that must not be seen: a token or a code.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize, Zeroize, ZeroizeOnDrop)]
pub struct SecretText(pub String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(…)")
    }
}
