#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Formatting, lints, documentation, licences. Every warning is an error.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin

cargo fmt --all --check
cargo clippy --workspace --all-targets --features sipoauth/fault-injection -- -D warnings
# The oldest Rust that the project says it needs: clippy looks at what the code uses of the standard library, this at what
# the dependencies ask for.
cargo metadata --locked --format-version 1 | python3 -c '
import json, sys
packages = json.load(sys.stdin)["packages"]
number = lambda package: tuple(int(part) for part in (package["rust_version"] or "1").split("."))
ours = next(package for package in packages if package["name"] == "sipoauth")
newer = [package["name"] for package in packages if number(package)[:2] > number(ours)[:2]]
sys.exit("lint: these need a newer Rust than rust-version in Cargo.toml says: " + ", ".join(newer) if newer else 0)
'
# Alone it must build, too, without the features that others ask of its dependencies.
cargo check --quiet --package sipoauth-core
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --lib --quiet
tools/borders.sh
# The benches are a workspace of their own.
benches=(--manifest-path benches/Cargo.toml)
cargo fmt "${benches[@]}" --check
cargo clippy "${benches[@]}" --target-dir target/bench-build --all-targets -- -D warnings
# So are the fuzz targets. They are checked without the flags of cargo-fuzz, so that stable Rust will do.
cargo check --quiet --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz-check
# Unsafe code has two rooms; everywhere else the compiler refuses it, and nobody may allow it again.
if grep -rn 'allow(unsafe_code' src cli signin --include='*.rs' | grep -v '^src/capi/mod.rs:\|^src/shared/mod.rs:'; then
  echo "lint: unsafe code outside capi and shared memory" >&2
  exit 1
fi
if ! command -v cargo-deny > /dev/null; then
  echo "lint: installing cargo-deny (some minutes, once)"
  cargo install --debug --quiet --locked cargo-deny
fi
cargo deny --log-level error check bans licenses sources
echo "lint: clean"
