#!/usr/bin/env bash
# Locks the newest versions that pyproject.toml allows, with hashes, for every Python from 3.11 on:
#   requirements.lock      what the console needs, and the build backend that installs it
#   requirements-dev.lock  the same and the group `dev`
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    [ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet uv
    uv=.venv/bin/uv
fi
compile() {  # output, groups…
    local out=$1
    shift
    local groups=()
    for group in "$@"; do groups+=(--group "$group"); done
    "$uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" \
        "${groups[@]}" pyproject.toml -o "$out"
}
compile requirements.lock build
compile requirements-dev.lock build dev
