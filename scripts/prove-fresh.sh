#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves the README's two commands on a fresh Debian 12: makes a minimal system in a folder
# (debootstrap minbase, git and ca-certificates added), clones the committed state of this
# repository into it, runs scripts/demo.sh and scripts/test.sh there, and again without a network.
#
#   scripts/prove-fresh.sh [--keep] [--packages] [FOLDER]    FOLDER: a new one in /var/tmp
#
# --packages only installs what scripts/packages.list names and configures the presets that
# scripts/test.sh builds: minutes instead of hours, after a change of that list.
# Needs root, debootstrap and git. Archive and proxy are this machine's own settings.
set -euo pipefail
repository="$(readlink -f "$(dirname "$(readlink -f "$0")")/..")"

keep=no
packages_only=no
folder=""
for argument in "$@"; do
    case "$argument" in
        --keep) keep=yes ;;
        --packages) packages_only=yes ;;
        -*)
            sed -n '3,12s/^# \{0,1\}//p' "$0" >&2
            exit 2
            ;;
        *) folder="$argument" ;;
    esac
done
if ((EUID != 0)); then
    echo "prove-fresh: needs root: it makes a Debian system and enters it with chroot" >&2
    exit 1
fi
command -v debootstrap >/dev/null || {
    echo "prove-fresh: debootstrap is missing: apt-get install debootstrap" >&2
    exit 1
}

# The rest runs in new mount and process namespaces, so that nothing stays mounted and no process
# survives, however this script ends.
if [[ ${QED_PROVE_INSIDE:-} != yes ]]; then
    export QED_PROVE_INSIDE=yes
    exec unshare --mount --propagation private --pid --fork --kill-child "$0" "$@"
fi

root="${folder:-$(mktemp -d /var/tmp/qed-fresh.XXXXXX)}"
mkdir -p "$root"
clean_up() {
    if [[ $keep == yes ]]; then
        echo "prove-fresh: kept $root"
    else
        rm -rf --one-file-system "$root"
    fi
}

archives="$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)' \
    'Created-By: Packages' |
    awk '$2 ~ /^bookworm/ && $NF ~ /^Debian/ {print $1, $2, $3}' | sort -u)"
mirror="$(awk '$2 == "bookworm" && $3 == "main" {print $1; exit}' <<<"$archives")"
if [[ -z $mirror ]]; then
    echo "prove-fresh: apt on this machine knows no archive of Debian 12 (bookworm)" >&2
    exit 1
fi

echo "== fresh Debian 12 in $root"
if [[ ! -e $root/etc/debian_version ]]; then
    debootstrap --variant=minbase --include=git,ca-certificates bookworm "$root" "$mirror" \
        >"$root.debootstrap.log" 2>&1 || {
        tail -n 20 "$root.debootstrap.log" >&2
        exit 1
    }
    rm -f "$root.debootstrap.log"
fi
sed 's/^/deb /' <<<"$archives" >"$root/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::https?::' >"$root/etc/apt/apt.conf.d/90machine" || true
cp -L /etc/resolv.conf "$root/etc/resolv.conf"

mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
trap 'umount -R -l "$root/proc" "$root/sys" "$root/dev"; clean_up' EXIT

enter() { # runs a command in the fresh system, with only the proxy settings of this environment
    local keep_variables=()
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY QED_JOBS; do
        [[ -z ${!name:-} ]] || keep_variables+=("$name=${!name}")
    done
    chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        "${keep_variables[@]}" "$@"
}
export -f enter
export root

rm -rf "$root/root/libqed"
git clone --quiet --no-hardlinks "file://$repository" "$root/root/libqed"
echo "== commit $(git -C "$root/root/libqed" rev-parse --short HEAD)"

step() {
    local begin=$SECONDS
    printf '\n== %s\n' "$1"
    shift
    "$@"
    printf '== done in %s s\n' $((SECONDS - begin))
}
if [[ $packages_only == yes ]]; then
    step "packages and presets" enter bash -c 'cd /root/libqed &&
        scripts/install-packages.sh build demo test &&
        for preset in dev clang tsan release fuzz; do cmake --preset $preset >/dev/null; done'
    echo
    echo "prove-fresh: a fresh Debian 12 has every package, and every preset can be configured"
    exit 0
fi
step "scripts/demo.sh" enter bash -c 'cd /root/libqed && exec scripts/demo.sh'
step "scripts/test.sh" enter bash -c 'cd /root/libqed && exec scripts/test.sh'
step "scripts/demo.sh again, without a network" unshare --net bash -c \
    "enter bash -c 'cd /root/libqed && exec scripts/demo.sh'"
step "scripts/test.sh --quick, without a network" unshare --net bash -c \
    "enter bash -c 'cd /root/libqed && exec scripts/test.sh --quick'"
echo
echo "prove-fresh: both commands work on a fresh Debian 12, and again without a network"
