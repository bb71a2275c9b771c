// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the bench of many sessions is made of.

pub mod checks;
pub mod load;
pub mod phones;
pub mod processes;
pub mod redis;
pub mod site;
