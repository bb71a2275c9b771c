// SPDX-License-Identifier: MIT OR Apache-2.0

//! What only OpenSIPS has: `async()` and `launch()`, its events, its limits. `tools/test-opensips.sh` runs these tests beside
//! the end-to-end suite.

// Of the suite's pieces some parts are not needed here.
#[allow(dead_code)]
#[path = "../e2e/phones.rs"]
mod phones;
#[allow(dead_code)]
#[path = "../e2e/stack.rs"]
mod stack;
#[path = "../support/mod.rs"]
mod support;

mod asynchronous;
mod events;
mod examples;
mod limits;
mod processes;
mod revocation;
