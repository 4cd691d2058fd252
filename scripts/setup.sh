#!/bin/sh
# setup.sh run|test: make .venv with the locked packages and this project in it. `test`, as root on Debian, also
# installs the real services that the tests start themselves; nothing of them is started or enabled here.
set -eu
cd "$(dirname "$0")/.."
want=${1:-run}
case $want in
    run) lock=requirements.lock ;;
    test) lock=requirements-dev.lock ;;
    *) echo "usage: setup.sh run|test" >&2; exit 2 ;;
esac

apt() { # install what is missing of the named Debian packages, quietly
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "setup: installing$missing"
    apt-get update -qq
    # Services are for the tests to start, on their own ports and under their own folders.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
is_debian_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
new_enough() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
find_python() {
    for python in "${QD_PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if new_enough "$python"; then echo "$python"; return; fi
    done
}

python=$(find_python)
if [ -z "$python" ] && is_debian_root; then
    apt python3 python3-venv
    python=$(find_python)
fi
if [ -z "$python" ]; then
    echo "setup: Python 3.11 or newer with venv is needed (Debian: apt-get install python3-venv); QD_PYTHON names one" >&2
    exit 1
fi
if [ "$want" = test ]; then
    if is_debian_root; then
        apt openssh-server openssh-client slurmctld slurmd slurm-client munge iproute2 tmux procps gcc libc6-dev \
            fonts-dejavu-core
    else
        echo "setup: not root on Debian: tests of services that are not installed will be skipped" >&2
    fi
fi

[ -x .venv/bin/python ] && new_enough .venv/bin/python || { rm -rf .venv; "$python" -m venv .venv; }
.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r "$lock"
.venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
touch ".venv/.$want"
[ "$want" = run ] || touch .venv/.run
