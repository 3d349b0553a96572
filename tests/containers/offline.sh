#!/usr/bin/env bash
# Prepare `make test-containers` where no image registry can be reached: a base image of Debian's own Python 3.11, made
# with mmdebstrap, and the wheels of the locks. Root, Debian 12 or newer, podman.
#
#   tests/containers/offline.sh FOLDER && SHELF_WHEELS=FOLDER make test-containers
set -euo pipefail
folder=${1:?which folder is for the wheels}
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3.11}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$folder"
"$python" -m pip download --quiet --no-deps --require-hashes --dest "$folder" \
    -r "$root/requirements/core.txt" -r "$root/requirements/build.txt"
mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/base.tar"
podman import --quiet "$work/base.tar" docker.io/library/python:3.11-slim
