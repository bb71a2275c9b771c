// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sign-in page under load: whole sign-ins of browsers, at an authorization server that answers at once.

pub mod browser;
pub mod load;
pub mod results;
pub mod site;
