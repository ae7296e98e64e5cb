#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the missing Debian packages of scripts/packages.list. If none is missing, it uses neither
# the network nor apt. Usage: install-packages.sh [build|demo|test|bench]...
set -euo pipefail

list="$(dirname "$(readlink -f "$0")")/packages.list"
(($# > 0)) || set -- build demo test bench

wanted=()
for section in "$@"; do
    mapfile -t found < <(awk -v section="$section" '$1 == section {print $2}' "$list")
    if ((${#found[@]} == 0)); then
        echo "install-packages: $list has no section '$section' (known: build demo test bench)" >&2
        exit 2
    fi
    wanted+=("${found[@]}")
done

is_installed() {
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

missing=()
for package in "${wanted[@]}"; do
    is_installed "$package" || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
    echo "install-packages: all ${#wanted[@]} packages are installed"
    exit 0
fi

as_root=()
if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
        echo "install-packages: missing: ${missing[*]}" >&2
        echo "install-packages: run as root, or install them by hand" >&2
        exit 1
    fi
    as_root=(sudo)
fi

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
apt_get() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -y -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1
}
install_missing() {
    apt_get install --no-install-recommends "${missing[@]}"
}

echo "install-packages: installing ${missing[*]}"
# The package lists may be missing or older than the archive: update them if the first try fails.
if ! install_missing && ! { apt_get update && install_missing; }; then
    cat "$log" >&2
    echo "install-packages: apt-get failed, see above" >&2
    exit 1
fi
echo "install-packages: done"
