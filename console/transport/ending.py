"""How a program is ended with all its children: told first, made to after a moment."""

from __future__ import annotations

from console.errors import TimedOut
from console.transport.base import BUSY_HINT


class Overran(TimedOut):
    """A command took longer than it was given; it began, so the machine was reached."""


ENDED_S = 5.0
"""When the script below has ended in any case: a machine may be slow."""


def end_script(pid: int) -> str:
    """Return the /bin/sh script that ends a program; its arguments are what leads `kill`.

    It finds the children first, for one that runs under sudo is in a group of its own. SIGTERM, up to two seconds,
    SIGKILL. Free of what `command_line` does not carry in a script.
    """
    return (
        f"p={pid}; all=$p; more=$p; "
        'while [ -n "$more" ]; do next=; '
        'for k in $more; do next="$next $(cat /proc/$k/task/*/children 2>/dev/null)"; done; '
        'more=$(echo $next); all="$all $more"; done; '
        '"$@" kill -s TERM -- -$p $all 2>/dev/null; n=0; '
        "while [ $n -lt 20 ] && [ -d /proc/$p ]; do n=$((n+1)); sleep 0.1; done; "
        '"$@" kill -s KILL -- -$p $all 2>/dev/null'
    )


def late(timeout_s: float | None, name: str, gone: bool) -> Overran:
    """Return the error for a program that did not end in time, whether or not it could be ended."""
    what = f"it did not end within {timeout_s or 0:g} s and was ended"
    if not gone:
        what = f"it did not end within {timeout_s or 0:g} s, and may still run there"
    return Overran(what, name, BUSY_HINT)
