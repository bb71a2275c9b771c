// SPDX-License-Identifier: MIT OR Apache-2.0

//! Floods: one source, one user or one provider in trouble against all others, for every limit and every shared table.

#[path = "../support/mod.rs"]
mod support;

// What other test programs have, as far as it serves here.
#[allow(dead_code)]
#[path = "../sessions/endpoint.rs"]
mod endpoint;
#[allow(dead_code)]
#[path = "../sessions/phone.rs"]
mod phone;
#[allow(dead_code)]
#[path = "../peers/plant.rs"]
mod plant;
#[allow(dead_code)]
#[path = "../sessions/plant.rs"]
mod proxies;
#[allow(dead_code)]
#[path = "../peers/site.rs"]
mod site;

mod answers;
mod charges;
mod intake;
mod providers;
mod records;
mod settled;
mod sources;
mod tables;
mod token_table;
