// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O process: the process of a proxy that talks to authorization servers and to Redis.

pub mod backlog;
mod certificate_problem;
pub mod changes;
mod client_standings;
pub mod exchange_task;
pub mod exchanges;
pub mod http;
pub mod intake;
pub mod introspection_task;
pub mod introspections;
pub mod key_fetches;
pub mod line_buffer;
pub mod logouts;
pub mod phone_uses;
pub mod pool;
pub mod provider_load;
pub mod refer_events;
pub mod refresh_shares;
pub mod refresh_task;
pub mod refreshes;
mod resolver;
pub mod service;
pub mod session_ends;
pub mod turns;
pub mod waiters;

use sipoauth_core::oauth::breaker::Patience;

/// When an authorization server that does not refresh tokens is left alone.
pub(crate) const PATIENCE: Patience = Patience { failures: 3, first_pause: 500, longest_pause: 4000 };
