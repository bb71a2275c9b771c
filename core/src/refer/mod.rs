// SPDX-License-Identifier: MIT OR Apache-2.0
//! REFER: which requests may be sent where (RFC 7647), explicit subscriptions (RFC 7614), and the event server that
//! tells subscribers how a referred request goes on (RFC 3515, RFC 6665).
//!
//! Everything here is a function of a message, the rules of the configuration and the time.

pub mod conformity;
pub mod dialog;
pub mod progress;
pub mod publication;
pub mod reason;
pub mod reference;
pub mod rules;
pub mod state_id;
pub mod subscriber;
pub mod subscription;
