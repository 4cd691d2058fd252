"""Quoting, read back by real shells."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from console.transport.quoting import command_line, quote, with_environment

SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "tcsh", "csh", "fish", "ksh") if shutil.which(shell)]
WORDS = st.lists(st.binary(max_size=40).filter(lambda word: b"\0" not in word), max_size=6)
NASTY = [b"a b", b"it's", b"\\0101", b"!x", b"x\ny\n", b"\xff\xfe", b"", b"$(id)`id`", b"*", b"-n", b"~", b"%s", b"\\"]


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=60, deadline=None)
@given(words=WORDS)
@example(words=NASTY)
def test_every_shell_hands_over_exactly_the_arguments(shell: str, words: list[bytes]) -> None:
    # cat shows its own arguments, separated by NUL, the one byte that is in none of them.
    line = command_line('exec env cat /proc/self/cmdline -- "$@" 2>/dev/null', [b"/dev/null", *words])
    done = subprocess.run([shell, "-c", line], capture_output=True, check=False)
    assert done.stdout.split(b"\0")[3:-1] == [b"/dev/null", *words]


@given(words=st.lists(st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=127), max_size=20), max_size=4))
def test_a_command_line_is_one_line_of_plain_ascii(words: list[str]) -> None:
    line = command_line('"$@"', words)
    assert line.isascii()
    assert line.isprintable()
    assert "!" not in line


def test_what_no_command_line_carries_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        command_line("true", ["a\0b"])
    for argument in ("it's", "a\\b", "a!b", "a\nb", "é", "\x1b", "\0"):
        with pytest.raises(ValueError, match="differently"):
            quote(argument)
    assert quote("a b") == "'a b'"
    assert quote("") == "''"
    assert quote("/usr/bin/x-1=2") == "/usr/bin/x-1=2"


def test_environment_goes_through_env() -> None:
    assert with_environment(["x"], None) == ["x"]
    assert with_environment(["x", "y"], {"A": "b c"}) == ["env", "A=b c", "x", "y"]
    for name in ("", "A=B", "a b", "1A", "-i"):
        with pytest.raises(ValueError, match="environment variable"):
            with_environment(["x"], {name: ""})
