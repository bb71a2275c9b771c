// SPDX-License-Identifier: MIT OR Apache-2.0
//! The decisions of sipoauth: data in, data out. Nothing here opens a socket, starts a thread or asks for the
//! time. Only [`config::source`] reads files, before the proxy forks.
//!
//! The modules ("rooms") are listed from the innermost out. Each uses only those before it: [`reason`] and
//! [`text`]; [`jose`] and [`keys`]; [`sip`] and [`rules`]; [`records`]; [`config`]; [`ports`]; [`oauth`], which
//! judges what authorization servers answer; [`check`], which judges what phones send; [`refer`], the rules of REFER
//! and its events.

pub mod check;
pub mod config;
pub mod jose;
pub mod keys;
pub mod oauth;
pub mod ports;
pub mod reason;
pub mod records;
pub mod refer;
pub mod rules;
pub mod sip;
pub mod text;
