// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pure protocol rules: SIP credentials and URIs, JOSE, claims, key derivation and challenges.
//!
//! Data in, data out. Nothing here reads a clock, a socket, a file or the environment.
#![forbid(unsafe_code)]

pub mod aor_template;
mod auth_params;
pub mod bound_identity;
pub mod challenge;
pub mod claim_fault;
pub mod claims;
pub mod confirmation;
pub mod credentials;
pub mod dialog_mark;
pub mod digest;
pub mod digest_credentials;
pub mod digest_string;
pub mod e164;
pub mod fingerprint;
pub mod form;
pub mod grant;
pub mod introspection;
pub mod ip_networks;
pub mod jose;
pub mod json;
pub mod key_account;
pub mod key_derivation;
pub mod master_key;
pub mod next_hop;
mod packed_text;
mod packed_token;
pub mod pbkdf2;
pub mod pop;
pub mod reason;
pub mod redemption;
pub mod scope_rules;
pub mod sender;
pub mod session;
pub mod shared_key;
pub mod sip_date;
pub mod token_response;
pub mod token_rules;
pub mod uri;
pub mod verifier;
pub mod via;
