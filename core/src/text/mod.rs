// SPDX-License-Identifier: MIT OR Apache-2.0
//! Texts and octets: JSON, forms, hex, secrets, and how texts are written in stored records.

pub mod charset;
pub mod fingerprint;
pub mod form;
pub mod json;
mod json_reader;
pub mod packed_text;
pub mod secret;
