#!/usr/bin/env bash
# Writes what the host and the components are made of, as one CycloneDX document each: OUT/bodega.cdx.json, OUT/catalog.cdx.json, ...
# It takes cargo-cyclonedx (cargo install --locked cargo-cyclonedx). From the same Cargo.lock come the same documents.
set -euo pipefail

out=$(realpath "${1:?usage: $0 OUT}")
cd "$(dirname "$0")/.."
mkdir --parents "$out"
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}

# The tool leaves a document beside the manifest of every package of the workspace.
trap 'git ls-files --others --ignored --exclude="*.cdx.json" -- runtime-host components tests xtask | xargs --no-run-if-empty rm' EXIT
describe() {
    cargo cyclonedx --quiet --manifest-path runtime-host/Cargo.toml --format json --spec-version 1.5 --describe binaries --no-build-deps --target "$1"
}
describe "$(rustc -vV | sed --quiet 's/^host: //p')"
cp runtime-host/bodega_bin.cdx.json "$out/bodega.cdx.json"
describe wasm32-wasip2
for document in components/*/*_cdylib.cdx.json; do
    cp "$document" "$out/$(basename "$document" _cdylib.cdx.json).cdx.json"
done
ls "$out"
