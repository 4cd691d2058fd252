#!/usr/bin/env bash
# Sets up what `make` needs, from the lock files:  setup.sh run | dev | systems
#   run      .venv with what the console needs
#   dev      the same and what tests, checks and benchmarks need
#   systems  Debian packages of the real systems in the tests; without root or apt it only says what is absent;
#            and Ray, in a virtual environment of its own under ~/.cache/quarterdeck; where an archive of Slurm 25.11
#            lies beside the checkout that too, to /opt, and pyslurm built against it, like Ray
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }

install() (  # a shell of its own: what it forbids is allowed again however it ends
    echo "installing: $*"
    export DEBIAN_FRONTEND=noninteractive
    # Daemons are started by the tests themselves, each in a place of its own; none may start with its package.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' HUP INT TERM
        printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy"
    fi
    apt-get update -qq && apt-get install -qq -y --no-install-recommends "$@" >/dev/null
)

usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local name
    for name in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [ -n "$name" ] && command -v "$name" >/dev/null && usable "$name"; then
            command -v "$name"
            return
        fi
    done
    return 1
}

venv() {
    if [ -x .venv/bin/python ] && .venv/bin/python -c 'import pip' 2>/dev/null; then
        return
    fi
    local python
    if ! python=$(find_python); then
        if as_root; then install python3 python3-venv || true; fi
        if ! python=$(find_python); then
            echo "setup: Python 3.11 or newer with venv is needed" >&2
            echo "    Debian and Ubuntu: sudo apt-get install python3 python3-venv; or name one: make run PYTHON=…" >&2
            exit 2
        fi
    fi
    rm -rf .venv
    "$python" -m venv .venv
}

packages() {  # lock file, stamp
    venv
    echo "installing $1 into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$1"
    # The lock holds the build backend too, so nothing is downloaded that has no hash.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    # Where PYTHONDONTWRITEBYTECODE is set every start would compile everything anew: a fifth of a second.
    .venv/bin/python -m compileall -q console plugins themes
    touch "$2"
}

ray() {
    local version=2.60.0
    local home="${XDG_CACHE_HOME:-$HOME/.cache}/quarterdeck/ray-$version"
    [ -z "${QD_TEST_RAY:-}" ] && [ ! -x "$home/bin/ray" ] || return 0
    echo "installing Ray $version into $home"
    rm -rf "$home"
    local python=.venv/bin/python
    [ -x "$python" ] || python=$(find_python)
    if ! { "$python" -m venv "$home" &&
        "$home/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "ray[default]==$version"; }; then
        rm -rf "$home"
        echo "setup: could not install Ray; its tests are skipped, or fail where CI=true" >&2
    fi
}

pyslurm() {
    # It is built against the Slurm of the archive, and takes three minutes; where that is not, nor is this.
    local version=25.11.2 prefix=/opt/slurm-25.11
    local home="${XDG_CACHE_HOME:-$HOME/.cache}/quarterdeck/pyslurm-$version"
    [ -z "${QD_TEST_PYSLURM:-}" ] && [ -d "$prefix/include/slurm" ] && [ ! -x "$home/bin/python" ] || return 0
    echo "building pyslurm $version into $home"
    rm -rf "$home"
    local python=.venv/bin/python
    [ -x "$python" ] || python=$(find_python)
    if ! { "$python" -m venv "$home" && SLURM_INCLUDE_DIR=$prefix/include SLURM_LIB_DIR=$prefix/lib \
        "$home/bin/pip" install --quiet --disable-pip-version-check "pyslurm==$version"; }; then
        rm -rf "$home"
        echo "setup: could not build pyslurm; its tests are skipped" >&2
    fi
}

slurm_archive() {
    # A newer Slurm comes as an archive beside the checkout, or not at all; its prefix is compiled in.
    local packed
    for packed in "${QD_TEST_SLURM:-../shared/real/slurm-25.11}"/slurm-25.11*.tar.zst; do
        [ -r "$packed" ] && [ ! -x /opt/slurm-25.11/sbin/slurmctld ] && as_root || continue
        tar --zstd -xf "$packed" -C / opt/slurm-25.11
    done
}

systems() {
    # program or file : Debian package
    local wanted="sshd:openssh-server ssh:openssh-client slurmctld:slurmctld slurmd:slurmd sinfo:slurm-client
        slurmdbd:slurmdbd slurmrestd:slurmrestd mariadbd:mariadb-server-core mariadb:mariadb-client-core
        munged:munge tmux:tmux gcc:gcc ip:iproute2 free:procps zsh:zsh fish:fish htop:htop sudo:sudo"
    local absent="" pair
    PATH=$PATH:/usr/sbin:/sbin
    for pair in $wanted; do
        command -v "${pair%%:*}" >/dev/null || absent="$absent ${pair##*:}"
    done
    [ -e /usr/include/stdio.h ] || absent="$absent libc6-dev"
    [ -e /usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf ] || absent="$absent fonts-dejavu-core"
    dpkg -s slurm-wlm-mysql-plugin >/dev/null 2>&1 || absent="$absent slurm-wlm-mysql-plugin"
    # OpenPBS comes as an archive beside the checkout, or not at all; what it needs is listed there.
    # So does a newer Slurm.
    local list
    for list in "${QD_TEST_OPENPBS:-../shared/real/openpbs}/apt.txt" "${QD_TEST_SLURM:-../shared/real/slurm-25.11}/apt.txt"; do
        [ -r "$list" ] || continue
        for pair in $(cat "$list"); do
            dpkg -s "$pair" >/dev/null 2>&1 || absent="$absent $pair"
        done
    done
    [ -n "$absent" ] || return 0
    if as_root; then
        # shellcheck disable=SC2086  # a list of words
        install $absent || echo "setup: could not install:$absent; their tests are skipped, or fail where CI=true" >&2
    else
        echo "setup: not installed here:$absent; their tests are skipped (root installs them)" >&2
    fi
}

case "${1:-}" in
    run) packages requirements.lock .venv/.run ;;
    dev) packages requirements-dev.lock .venv/.dev ; touch .venv/.run ;;
    systems) systems ; ray ; slurm_archive ; pyslurm ;;
    *) sed -n '2,8s/^# //p' "$0" >&2 ; exit 2 ;;
esac
