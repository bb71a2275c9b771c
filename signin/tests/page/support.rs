// SPDX-License-Identifier: MIT OR Apache-2.0

//! The servers of the project's tests, as far as the page needs them.

#![allow(dead_code)]

#[path = "../../../tests/support/authorization_server.rs"]
pub mod authorization_server;
#[path = "../../../tests/support/certificates.rs"]
pub mod certificates;
#[path = "../../../tests/support/desk_phone.rs"]
pub mod desk_phone;
#[path = "../../../tests/support/digest.rs"]
pub mod digest;
#[path = "../../../tests/support/host.rs"]
pub mod host;
#[path = "../../../tests/support/http.rs"]
pub mod http;
#[path = "../../../tests/support/kamailio.rs"]
pub mod kamailio;
#[path = "../../../tests/support/kit.rs"]
pub mod kit;
#[path = "../../../tests/support/opensips.rs"]
pub mod opensips;
#[path = "../../../tests/support/patience.rs"]
pub mod patience;
#[path = "../../../tests/support/ports.rs"]
pub mod ports;
#[path = "../../../tests/support/process.rs"]
pub mod process;
#[path = "../../../tests/support/redis.rs"]
pub mod redis;
#[path = "../../../tests/support/scripted_server.rs"]
pub mod scripted_server;
#[path = "../../../tests/support/sip.rs"]
pub mod sip;
#[path = "../../../tests/support/temporary.rs"]
pub mod temporary;
#[path = "../../../tests/support/token.rs"]
pub mod token;
#[path = "../../../tests/support/websocket.rs"]
pub mod websocket;
