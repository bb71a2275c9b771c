// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real OpenSIPS under load: our module, the two of its own that do the same, and our two ways to wait.

pub mod mi;
pub mod proxy;
pub mod results;
pub mod rounds;
pub mod site;
pub mod waiting;
