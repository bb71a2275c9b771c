#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# How many instructions a check of a cached token takes, through the C interface as the Kamailio module calls it.
#
#   tools/instructions.sh           compares with benches/instructions.txt; fails when there are more
#   tools/instructions.sh accept    writes the number there
#   tools/instructions.sh measure   only prints it
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:$HOME/.cargo/bin

accepted=benches/instructions.txt
out=target/instructions
count=1000
# Per cent. Callgrind counts exactly; another compiler or C library makes the same source a little longer or shorter.
tolerance=3

measure() {
    # The same selection as for everything else: with another one cargo builds the library anew, each time.
    cargo build --release --lib --bins 1>&2
    mkdir -p "$out"
    ln -sf ../release/libsipoauth.so "$out/libsipoauth.so.0"
    gcc -std=c11 -O2 -Wall -Wextra -Werror -Iinclude benches/instructions/cached_check.c -o "$out/cached_check" \
        "$out/libsipoauth.so.0"
    # The same functions of the C library and of the cryptography on every processor: those without AVX.
    GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2_Usable,-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-SSE4_1,-SSE4_2 \
    OPENSSL_ia32cap=~0x1000000000000000:0 LD_LIBRARY_PATH="$out" valgrind -q --tool=callgrind --toggle-collect=cached_checks \
        --callgrind-out-file="$out/callgrind.out" \
        "$out/cached_check" benches/instructions/keys.json benches/instructions/token.txt "$count" 1>&2
    awk -v count="$count" '$1 == "totals:" || $1 == "summary:" { n = $2 } END { printf "%d\n", n / count }' \
        "$out/callgrind.out"
}

now=$(measure)
case "${1:-compare}" in
measure) echo "$now" ;;
accept)
    echo "$now" >"$accepted"
    echo "a cached check takes $now instructions; $accepted says so now"
    ;;
compare)
    before=$(<"$accepted")
    most=$((before * (100 + tolerance) / 100))
    echo "a cached check takes $now instructions; $before are accepted, and at most $most"
    if ((now > most)); then
        echo "that is slower than it was. callgrind_annotate $out/callgrind.out shows where. If it must be so:" >&2
        echo "make instructions-accept" >&2
        exit 1
    fi
    ;;
*)
    echo "usage: tools/instructions.sh [accept | measure]" >&2
    exit 2
    ;;
esac
