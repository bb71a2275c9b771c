// SPDX-License-Identifier: MIT OR Apache-2.0
//! OAuth 2.0 and OpenID Connect sign-in for SIP proxies (RFC 8898): the library behind `include/sipoauth.h`.
//!
//! Each of these modules uses only those before it and `sipoauth_core`, which makes the decisions: [`shared`]
//! (memory of all processes), [`store`] (sessions on disk or in Redis), [`process`] (what every process has),
//! [`worker`], [`io_process`] and [`commands`] (what an operator asks for), and [`capi`], which offers all of it to C.
#![deny(unsafe_code)]

pub mod capi;
pub mod clock;
pub mod commands;
pub mod fault;
pub mod io_process;
pub mod process;
pub mod shared;
pub mod store;
pub mod worker;
