// SPDX-License-Identifier: MIT OR Apache-2.0
//! JSON Object Signing: algorithms, keys and signatures (RFC 7515, 7517, 7518, 8037, 8725).

pub mod algorithm;
pub mod jwk;
pub mod jws;
pub mod key_set;
pub mod pem;
pub mod rsa;
pub mod signing_key;
