// SPDX-License-Identifier: MIT OR Apache-2.0
//! What SIP messages carry: credentials, challenges, URIs, Via, Date, the digest-string.

mod auth_params;
pub mod challenge;
pub mod credentials;
pub mod dialog_mark;
pub mod digest;
pub mod digest_credentials;
pub mod digest_string;
pub mod ip_networks;
pub mod key_derivation;
pub mod message;
pub mod next_hop;
pub mod sender;
pub mod sip_date;
pub mod uri;
pub mod via;
