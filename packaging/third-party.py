#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Prints which crates of others are in the binaries, under which licences, and these licences. Needs no network."""
import json
import pathlib
import subprocess

TEXTS = ("LICENSE*", "LICENCE*", "COPYING*", "COPYRIGHT*", "NOTICE*", "license*", "copying*")

metadata = json.loads(subprocess.check_output([
    "cargo", "metadata", "--locked", "--offline", "--format-version", "1",
    "--filter-platform", "x86_64-unknown-linux-gnu"]))
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}

# What the workspace's members need when they run: neither build scripts nor tests.
reached, waiting = set(), list(metadata["workspace_members"])
while waiting:
    name = waiting.pop()
    if name in reached:
        continue
    reached.add(name)
    for dependency in nodes[name]["deps"]:
        if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
            waiting.append(dependency["pkg"])

crates = sorted((packages[name] for name in reached - set(metadata["workspace_members"])),
                key=lambda package: (package["name"], package["version"]))
texts = {}
for crate in crates:
    print(f"{crate['name']} {crate['version']}: {crate['license'] or 'see its text'}")
    folder = pathlib.Path(crate["manifest_path"]).parent
    files = {file for pattern in TEXTS for file in folder.glob("**/" + pattern) if file.is_file()}
    for file in sorted(files):
        text = file.read_text(encoding="utf-8", errors="replace").strip()
        if file.suffix not in (".rs", ".c", ".h", ".go", ".py", ".pl") and text:
            texts.setdefault(text, set()).add(f"{crate['name']} {crate['version']}")
for text, users in texts.items():
    print(f"\n{'=' * 70}\n{', '.join(sorted(users))}\n\n{text}")
