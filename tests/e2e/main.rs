// SPDX-License-Identifier: MIT OR Apache-2.0

//! End to end: real phones, a real Kamailio with our module, a real authorization server.

#[path = "../support/mod.rs"]
mod support;

mod application_server;
mod attacker;
mod browser_websocket;
mod client_certificate;
mod configuration;
mod dialogs;
mod encrypted;
mod events;
mod expires;
mod fleet;
mod floods;
mod full_disk;
mod guides;
mod harness;
mod harness_waits;
mod introspection;
mod kemi;
mod key_derivation;
mod key_derivation_accounts;
mod keys;
mod kit_grants;
mod known_tokens;
mod limits;
mod location;
mod mixed_fleet;
mod mixed_websocket;
mod monitoring;
mod operations;
mod outbound;
mod outbound_routes;
mod password_attacks;
mod passwords;
mod per_connection;
mod phones;
mod proof_coverage;
mod proxy_407;
mod refer;
mod refer_browsers;
mod refer_events;
mod refer_phones;
mod refer_rules;
mod registrar_sso;
mod reload;
mod reload_load;
mod server_troubles;
mod session_at_rest;
mod session_cluster;
mod session_duplicates;
mod session_faults;
mod session_kills;
mod session_refresh;
mod session_short_codes;
mod sessions;
mod sip_oauth;
mod stack;
mod store_folder;
mod token_answers;
mod tool;
mod tool_phone;
mod trusted_hops;
mod waiting;
