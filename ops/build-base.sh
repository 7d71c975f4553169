#!/usr/bin/env bash
# Make a base image from Debian's packages, for a machine that reaches no image registry: ops/build-base.sh [SUITE]
# The image is called localhost/slipway-base. It needs mmdebstrap and podman, and root or user namespaces.
set -euo pipefail
suite=${1:-trixie}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
without=()
for path in doc info locale man; do without+=("--dpkgopt=path-exclude=/usr/share/$path/*"); done
mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-venv "${without[@]}" "$suite" "$folder/base.tar"
podman import --quiet --change CMD=python3 "$folder/base.tar" localhost/slipway-base >/dev/null
echo "made localhost/slipway-base from Debian $suite"
