# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Functions for scripts that need a source package, or another Debian. Those for another Debian need root.
# shellcheck shell=bash

# The Debian of this suite in this folder, with these packages: mmdebstrap's variant "extract" only unpacks them, which
# is quick, others install them. Returns 1 if that fails; the reason is in FOLDER.log. mmdebstrap itself is installed.
bring_debian() {     # suite, folder, variant, packages with commas
  local suite=$1 root=$2 variant=$3 packages=$4 link
  [ ! -e "$root/.whole" ] || return 0
  rm -rf "$root"
  mkdir -p "$(dirname "$root")"
  command -v mmdebstrap > /dev/null || (apt-get update -qq; apt-get install -y -qq mmdebstrap) > "$root.log" 2>&1 || return 1
  # A mirror may be some weeks old.
  mmdebstrap --quiet --variant="$variant" --aptopt='Acquire::Check-Valid-Until "false"' --include="$packages" \
    "$suite" "$root" > "$root.log" 2>&1 || return 1
  # base-files makes these when it is installed.
  for link in bin sbin lib lib64; do
    [ -e "$root/$link" ] || [ ! -e "$root/usr/$link" ] || ln -s "usr/$link" "$root/$link"
  done
  # No service starts in it.
  printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  touch "$root/.whole"
}

# Becomes a command in another Debian. The files and folders before "--" are those of this system there, too.
enter_debian() {     # root, files and folders, --, command
  local root=$1 shared=()
  shift
  while [ "$1" != -- ]; do
    shared+=("$1")
    if [ -d "$1" ]; then
      mkdir -p "$root$1"
    elif [ ! -f "$root$1" ]; then
      : > "$root$1"
    fi
    shift
  done
  shift
  mkdir -p "$root/proc" "$root/dev"
  exec unshare --mount bash -c '
    root=$1 count=$2
    shift 2
    # A folder that is no mount lets nobody inside make a mount namespace.
    mount --bind "$root" "$root" && mount --rbind /dev "$root/dev" && mount -t proc proc "$root/proc" || exit
    for ((; count > 0; count--)); do mount --rbind "$1" "$root$1" || exit; shift; done
    exec chroot "$root" "$@"' enter_debian "$root" "${#shared[@]}" "${shared[@]}" "$@"
}

# Downloads a source package and unpacks it to FOLDER/tree. FOLDER/parts has the lists of apt that name its archive.
# Returns 1 if that fails; the reason is in FOLDER/log.
download_source() {     # PACKAGE=VERSION, folder, further options of apt
  local package=$1 folder
  folder=$(readlink -f "$2")
  shift 2
  (
    cd "$folder" || exit 1
    mkdir -p lists/partial
    apt=(-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$folder/parts" -o Dir::State::lists="$folder/lists"
      -o Dir::Cache::srcpkgcache= -o Dir::Cache::pkgcache= -o APT::Sandbox::User= -o APT::Get::List-Cleanup=0 "$@")
    # Another archive may be out of reach or have no sources: only the result counts.
    apt-get "${apt[@]}" -qq update > log 2>&1 || true
    # It fails, too, when only the detached signature of upstream is not to be had.
    apt-get "${apt[@]}" -qq source --download-only "$package" >> log 2>&1 || true
    dsc=$(find . -maxdepth 1 -name '*.dsc' -print -quit)
    [ -n "$dsc" ] || exit 1
    sums=$(awk '/^[^ ]/ { on = /^Checksums-Sha256:/ } on && $3 ~ /\.tar\.[a-z0-9]+$/ { print $1 "  " $3 }' "$dsc")
    [ -n "$sums" ] && sha256sum --check --quiet <<< "$sums" >> log 2>&1 &&
      dpkg-source --no-check -x "$dsc" tree >> log 2>&1 || exit 1
    rm -rf lists parts ./*.tar.*
  )
}
