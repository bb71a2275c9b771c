// SPDX-License-Identifier: MIT OR Apache-2.0
//! OAuth 2.0 and OpenID Connect sign-in for SIP proxies (RFC 8898): the library behind `include/sipoauth.h`.
//!
//! Rooms, from the inside out: [`proto`] (pure rules) ← [`config`], [`engine`] (decisions) → [`ports`] (traits) ←
//! [`io`] (HTTP) and [`arena`] (shared memory), put to work by [`runtime`] and handed to C by [`capi`].
#![deny(unsafe_code)]

pub mod arena;
pub mod capi;
pub mod config;
pub mod engine;
pub mod fault;
pub mod io;
pub mod ports;
pub mod proto;
pub mod runtime;
