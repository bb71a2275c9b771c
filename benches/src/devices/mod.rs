// SPDX-License-Identifier: MIT OR Apache-2.0
//! Phones that speak Digest only: what their registrations cost the proxy with device passwords of the sign-in page, beside
//! Kamailio's `auth_db` with a table of its own.

pub mod database;
pub mod load;
pub mod phones;
pub mod results;
pub mod site;
