// SPDX-License-Identifier: MIT OR Apache-2.0

//! The stores: the same promises from LMDB and from Redis, then what only one of them can suffer.

mod contract;
mod damage;
mod ends;
mod full_disk;
mod processes;
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use sipoauth::store::redis::RedisStore;
use sipoauth_core::config::settings::Secret;
use sipoauth_core::ports::store::{Store, StoreError, Write};

/// Milliseconds by the clock: Redis compares ends with its own.
fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    i64::try_from(since.as_millis()).expect("fits for long")
}

/// A record that ends in an hour.
fn write<'a>(key: &'a str, value: &'a [u8]) -> Write<'a> {
    Write { key, value, expires_at: clock() + 3_600_000, due_at: None }
}

/// Writes a record that must be new.
fn add(store: &dyn Store, key: &str, value: &[u8]) -> Result<(), StoreError> {
    store.put(&write(key, value), None, clock()).map(|new| assert!(new, "{key} is there already"))
}

fn redis_store(server: &support::redis::Redis, timeout: u32) -> RedisStore {
    let url = format!("redis://127.0.0.1:{}", server.port());
    let password = Secret::from_file(support::redis::PASSWORD);
    RedisStore::new(&Secret::from_file(&url), Some(&password), None, timeout).expect("a good address")
}
