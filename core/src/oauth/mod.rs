// SPDX-License-Identifier: MIT OR Apache-2.0
//! The OAuth client as data: what is asked of an authorization server, and how its answer is judged.

pub mod answer_fit;
pub mod breaker;
mod client_post;
pub mod client_probe;
pub mod endpoint_guard;
pub mod endpoints;
pub mod exchange;
pub mod grant;
pub mod introspection;
pub mod introspection_response;
pub mod kept_keys;
pub mod key_fetch;
pub mod logout_token;
pub mod metadata;
pub mod refresh_plan;
pub mod sign_in_grants;
pub mod token_identity;
pub mod token_issue;
mod token_request;
pub mod token_response;
pub mod typed_code;
mod user_info;
pub mod verdict;
