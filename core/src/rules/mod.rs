// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules about tokens: claims, scopes, confirmation, and whose address a token speaks for.

pub mod aor_template;
pub mod claim_fault;
pub mod claims;
pub mod confirmation;
pub mod e164;
pub mod scope_rules;
pub mod token_rules;
pub mod token_type;
