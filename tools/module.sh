# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What building auth_oauth.so is for every server. The script that reads this has SERVER (its name and version), SHIM, COMMON,
# INCLUDE, STATICLIB, OUT and CC, and a function fail.

need() {
  command -v "$1" >/dev/null || fail "$1 is missing: install the package $2 (apt-get install $2)"
}

need_library() {
  [ -f "$INCLUDE/sipoauth.h" ] || fail "$INCLUDE/sipoauth.h is missing: build the library first (cargo build --release)"
  [ -f "$STATICLIB" ] || fail "$STATICLIB is missing: build the library first (cargo build --release)"
}

# Compiles what has changed since the last time, with the server's own options.
compile_module() {
  local source object stamp=$OUT/obj/options jobs=() pid options
  options=(-std=gnu11 -O2 -g -fPIC "-fmacro-prefix-map=$SHIM/=" "-fmacro-prefix-map=$COMMON/=" -fno-strict-aliasing -Wall -Wextra -Werror
    -I "$SHIM" -I "$COMMON" -I "$INCLUDE" "$@")
  if [ "$(cat "$stamp" 2>/dev/null)" != "$CC ${options[*]}" ]; then
    rm -f "$OUT"/obj/*.o
    echo "$CC ${options[*]}" > "$stamp"
  fi
  OBJECTS=()
  for source in "$COMMON"/*.c "$SHIM"/*.c; do
    object=$OUT/obj/$(basename "${source%.c}").o
    OBJECTS+=("$object")
    if [ "$object" -nt "$source" ] && [ -z "$(find "$COMMON" "$SHIM" "$INCLUDE" -name '*.h' -newer "$object")" ]; then
      continue
    fi
    rm -f "$object"
    "$CC" "${options[@]}" -c "$source" -o "$object" &
    jobs+=($!)
    if [ ${#jobs[@]} -ge 2 ]; then
      wait "${jobs[0]}" || fail "the shim did not compile against $SERVER (messages above)"
      jobs=("${jobs[@]:1}")
    fi
  done
  for pid in ${jobs[@]+"${jobs[@]}"}; do
    wait "$pid" || fail "the shim did not compile against $SERVER (messages above)"
  done
}

# Makes auth_oauth.so.new: a running server may have the old file mapped, so that one is replaced at the end, in one step.
link_module() {
  local absent
  "$CC" -shared -o "$OUT/auth_oauth.so.new" "${OBJECTS[@]}" "$STATICLIB" \
    -Wl,--version-script="$SHIM/exports.map" -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now \
    -lpthread -ldl -lrt -lm -lgcc_s -lc \
    || fail "the module could not be linked (messages above)"
  # The server has all other symbols; without one of ours it could not load the module.
  absent=$(readelf -sW --dyn-syms "$OUT/auth_oauth.so.new" | awk '$7 == "UND" && $8 ~ /^((sip)?oauth|host)_/ { print $8 }' | sort -u)
  [ -z "$absent" ] || fail "the module lacks ${absent//$'\n'/, }: a file of $COMMON or $SHIM is missing"
}

replace_module() {
  mv "$OUT/auth_oauth.so.new" "$OUT/auth_oauth.so"
}
