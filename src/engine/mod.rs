// SPDX-License-Identifier: MIT OR Apache-2.0
//! The decisions: a request is done, denied, or needs keys first. No I/O, no clock: time is an argument.
#![forbid(unsafe_code)]

pub mod acceptance;
pub mod answer_fit;
pub mod breaker;
pub mod check;
mod client_post;
pub mod client_probe;
pub mod connection_check;
mod covered;
pub mod endpoints;
pub mod exchange;
pub mod explain;
pub mod introspection;
pub mod kept_keys;
pub mod key_derivation_check;
pub mod key_fetch;
pub mod key_wait;
pub mod known_account;
pub mod metadata;
pub mod peer_certificate;
pub mod refresh_plan;
pub mod seal;
pub mod session_check;
pub mod sign_in_grants;
pub mod token_answer;
pub mod token_cache;
pub mod token_check;
pub mod token_identity;
pub mod token_issue;
mod token_request;
mod user_info;
pub mod verdict;
