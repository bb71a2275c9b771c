// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sign-in with an authorization code, proofs of possession, and what is kept of both: the library with its real store
//! and I/O service, phones that send real messages, and a token endpoint that does as it is told.

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod changes;
mod codes;
mod connections;
mod contacts;
mod coverage;
mod endpoint;
mod grants;
mod key_derivation;
mod kills;
mod phone;
mod plant;
mod proofs;
mod refresh;
mod reload;
mod replay;
mod same_request;
mod secrets;
mod separators;
mod short_codes;
mod sip_oauth;
mod store;
mod tool;
mod trouble;
mod udp_senders;
mod used_codes;
