#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Formatting, lints, documentation, licences. Every warning is an error.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin

cargo fmt --all --check
cargo clippy --workspace --all-targets --features sipoauth/fault-injection -- -D warnings
# Alone it must build, too, without the features that others ask of its dependencies.
cargo check --quiet --package sipoauth-core
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --lib --quiet
tools/borders.sh
# The benches are a workspace of their own.
benches=(--manifest-path benches/Cargo.toml)
cargo fmt "${benches[@]}" --check
cargo clippy "${benches[@]}" --target-dir target/bench-build --all-targets -- -D warnings
# Unsafe code has two rooms; everywhere else the compiler refuses it, and nobody may allow it again.
if grep -rn 'allow(unsafe_code' src cli --include='*.rs' | grep -v '^src/capi/mod.rs:\|^src/shared/mod.rs:'; then
  echo "lint: unsafe code outside capi and shared memory" >&2
  exit 1
fi
if ! command -v cargo-deny > /dev/null; then
  echo "lint: installing cargo-deny (some minutes, once)"
  cargo install --debug --quiet --locked cargo-deny
fi
cargo deny --log-level error check bans licenses sources
echo "lint: clean"
