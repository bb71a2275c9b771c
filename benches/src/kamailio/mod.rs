// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real Kamailio under load: what a request costs the proxy with each way to authenticate it.

pub mod counted;
pub mod digest;
pub mod morning;
pub mod phones;
pub mod proxy;
pub mod results;
pub mod rounds;
pub mod site;
pub mod waiting;
