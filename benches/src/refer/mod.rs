// SPDX-License-Identifier: MIT OR Apache-2.0
//! The event server of REFER under load, beside Kamailio's own presence: what a state that changes twice costs with two
//! subscribers, and how much memory it takes.

pub mod memory;
pub mod phones;
pub mod results;
pub mod scene;
pub mod site;
