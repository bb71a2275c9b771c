#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Formatting, lints, documentation, licences. Every warning is an error.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin

cargo fmt --check
cargo clippy --all-targets --features fault-injection -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --lib --quiet
# The benches are a workspace of their own.
benches=(--manifest-path benches/Cargo.toml)
cargo fmt "${benches[@]}" --check
cargo clippy "${benches[@]}" --target-dir target/bench-build --all-targets -- -D warnings
# Unsafe code has two rooms; everywhere else the compiler refuses it, and nobody may allow it again.
if grep -rn 'allow(unsafe_code' src --include='*.rs' | grep -v '^src/capi/mod.rs:\|^src/arena/mod.rs:'; then
  echo "lint: unsafe code outside capi and the arena" >&2
  exit 1
fi
if ! command -v cargo-deny > /dev/null; then
  echo "lint: installing cargo-deny (some minutes, once)"
  cargo install --debug --quiet --locked cargo-deny
fi
cargo deny --log-level error check bans licenses sources
echo "lint: clean"
