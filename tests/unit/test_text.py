"""`clean`: whatever comes, what goes out is harmless, and nothing takes longer than its length."""

from __future__ import annotations

import os
import pty
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from console.render.cells import cell_width
from console.text import MAX_MARKS, REPLACEMENT, clean, is_mark

ESC = "\x1b"

REMOVED = {
    "CSI colour": f"{ESC}[1;31m",
    "CSI clear screen": f"{ESC}[2J",
    "CSI private mode": f"{ESC}[?1049h",
    "CSI with intermediate": f"{ESC}[0 q",
    "CSI C1": "\x9b31m",
    "CSI never ended": f"{ESC}[12;34",
    "OSC title, BEL": f"{ESC}]0;owned\x07",
    "OSC title, ST": f"{ESC}]2;owned{ESC}\\",
    "OSC title, C1 ST": f"{ESC}]2;owned\x9c",
    "OSC 8 link": f"{ESC}]8;;https://evil.example{ESC}\\",
    "OSC 52 clipboard": f"{ESC}]52;c;cm0gLXJmIC8K\x07",
    "OSC C1": "\x9d52;c;cm0gLXJmIC8K\x07",
    "OSC 1337 file": f"{ESC}]1337;File=inline=1:AAAA\x07",
    "OSC never ended": f"{ESC}]52;c;cm0gLXJmIC8K",
    "DCS": f'{ESC}P$q"p{ESC}\\',
    "DCS C1": "\x90$qm\x9c",
    "APC": f"{ESC}_Gf=100;AAAA{ESC}\\",
    "PM": f"{ESC}^secret{ESC}\\",
    "SOS": f"{ESC}Xsecret{ESC}\\",
    "charset": f"{ESC}(0",
    "reset": f"{ESC}c",
    "save cursor": f"{ESC}7",
    "lone ESC": ESC,
    "double ESC": ESC + ESC,
    "backspace": "\x08",
    "bell": "\x07",
    "null": "\x00",
    "DEL": "\x7f",
    "C1 index": "\x84",
    "bidi override": "\u202e",
    "bidi isolate": "\u2067",
    "left-to-right mark": "\u200e",
    "Arabic letter mark": "\u061c",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "word joiner": "\u2060",
    "combining grapheme joiner": "\u034f",
    "variation selector": "\ufe0f",
    "variation selector supplement": "\U000e0100",
    "tag": "\U000e0041",
    "Hangul filler": "\u3164",
    "skin tone": "\U0001f3fd",
    "interlinear annotation": "\ufff9",
}

REPLACED = {
    "lone high surrogate": "\ud800",
    "lone low surrogate": "\udfff",
    "escaped byte": "\udc9b",
    "private use": "\ue000",
    "private use plane": "\U0010fffd",
    "noncharacter": "\uffff",
    "noncharacter in a plane": "\U0001fffe",
    "disputed width": "\u2630",
}


def allowed(char: str) -> bool:
    """What may go out on one line."""
    return char == " " or (char.isprintable() and unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn"))


@pytest.mark.parametrize("name", sorted(REMOVED))
def test_removed_whole(name: str) -> None:
    assert clean(f"before{REMOVED[name]}") == "before"
    ended = REMOVED[name]
    if "never ended" not in name and name not in ("lone ESC", "double ESC"):
        assert clean(f"before{ended}after") == "beforeafter"


@pytest.mark.parametrize("name", sorted(REPLACED))
def test_replaced_by_one_sign(name: str) -> None:
    assert clean(f"a{REPLACED[name]}b") == f"a{REPLACEMENT}b"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain job-name_1.2 [x] <y> $z", "plain job-name_1.2 [x] <y> $z"),
        ("Größe é ñ", "Größe é ñ"),
        ("模型训练", "模型训练"),
        ("трейнинг", "трейнинг"),
        ("e\u0301", "e\u0301"),
        ("👨‍👩‍👧 🇩🇪 👍🏽", "👨👩👧 DE 👍"),
        ("a\tb\nc\r\nd\re\vf", "a b c d e f"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("a\u00a0b\u3000c\u2003d", "a b c d"),
        ("[/foo] [b]x[/b] [$x]", "[/foo] [b]x[/b] [$x]"),
        ("", ""),
    ],
)
def test_what_people_write_stays_readable(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_bytes_are_utf8_and_what_is_not_is_replaced() -> None:
    assert clean("naïve".encode()) == "naïve"
    assert clean(b"caf\xe9") == f"caf{REPLACEMENT}"
    assert clean(b"a\x9b31mb") == f"a{REPLACEMENT}31mb"
    assert clean("a\x9b31mb".encode()) == "ab"
    assert clean(b"\xed\xa0\x80x") == REPLACEMENT * 3 + "x"
    assert clean(b"\xff\xfe\x00") == REPLACEMENT * 2


def test_several_lines_stay_lines_and_tabs_become_columns() -> None:
    assert clean("a\tb\r\nc\rd\x85e", multiline=True) == "a       b\nc\nd\ne"
    assert clean(f"{ESC}[1mab{ESC}[0m\tc", multiline=True) == "ab      c"


def test_an_unfinished_sequence_does_not_hide_the_next_line() -> None:
    assert clean(f"one{ESC}]0;title\ntwo", multiline=True) == "one\ntwo"
    assert clean(f"one{ESC}Pdata\ntwo{ESC}[31") == "one two"


def test_combining_flood_is_thinned_and_marks_need_a_letter() -> None:
    flood = "e" + "\u0301" * 10_000 + "x"
    assert clean(flood) == "e" + "\u0301" * MAX_MARKS + "x"
    assert clean("\u0301\u0302abc") == "abc"
    assert clean("a\n\u0301b", multiline=True) == "a\nb"
    jamo = "\u1100" + "\u1161" * 500
    assert len(clean(jamo)) == 1 + MAX_MARKS


def test_limit_counts_characters_and_shows_the_cut() -> None:
    assert clean("x" * 5000) == "x" * 4095 + "…"
    assert clean("abcdef", limit=4) == "abc…"
    assert clean("abcd", limit=4) == "abcd"
    assert clean("ab\x1b[31mcd", limit=4) == "abcd"
    assert len(clean("ä" * 10_000, limit=0)) == 10_000


MEGABYTE = {
    "plain": "a" * 1_000_000,
    "letters": "ä" * 500_000,
    "CSI openers": "\x1b[" * 500_000,
    "OSC openers": "\x1b]" * 500_000,
    "OSC body": "\x1b]" + "x" * 1_000_000,
    "C1 strings": "\x9d" * 1_000_000,
    "parameters": "\x1b[" + "1;" * 500_000,
    "ESC": "\x1b" * 1_000_000,
    "marks": "e" + "\u0301" * 1_000_000,
    "tabs": "\t" * 1_000_000,
    "all of Unicode": "".join(map(chr, range(0x110000))),
}


@pytest.mark.parametrize("name", sorted(MEGABYTE))
def test_a_megabyte_takes_time_in_proportion(name: str) -> None:
    """Ten times the length takes about ten times as long: far from the hundred times of quadratic work."""

    def seconds(text: str) -> float:
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            clean(text, limit=0)
            clean(text, limit=0, multiline=True)
            best = min(best, time.process_time() - start)
        return best

    whole = MEGABYTE[name]
    assert seconds(whole) <= 40 * max(seconds(whole[: len(whole) // 10]), 0.002)


@given(st.one_of(st.text(), st.text(st.characters(codec=None)), st.binary()), st.booleans())
def test_anything_comes_out_harmless_and_cleaning_twice_changes_nothing(raw: str | bytes, multiline: bool) -> None:
    shown = clean(raw, multiline=multiline)
    assert all(allowed(char) or (multiline and char == "\n") for char in shown)
    assert clean(shown, multiline=multiline) == shown
    shown.encode("utf-8")


PIECES = st.sampled_from(
    [
        *REMOVED.values(),
        *REPLACED.values(),
        "a",
        "é",
        "模",
        "\n",
        "\t",
        "\r",
        "[",
        "]",
        "\\",
        "0",
        ";",
        "m",
        "e\u0301",
        "👍",
    ]
)


@given(st.lists(PIECES, max_size=40), st.booleans(), st.integers(min_value=0, max_value=50))
def test_hostile_pieces_in_any_order(pieces: list[str], multiline: bool, limit: int) -> None:
    shown = clean("".join(pieces), multiline=multiline, limit=limit)
    assert all(allowed(char) or (multiline and char == "\n") for char in shown)
    assert clean(shown, multiline=multiline, limit=limit) == shown
    if limit:
        assert len(shown) <= limit


@given(st.text(st.characters(codec=None)))
def test_marks_never_pile_up(raw: str) -> None:
    run = MAX_MARKS
    for char in clean(raw):
        run = run + 1 if is_mark(char) else 0
        assert run <= MAX_MARKS


def test_every_character_that_passes_has_the_width_that_textual_counts() -> None:
    differing = [
        hex(code)
        for code in range(0x20, 0x110000)
        for shown in (clean(f"x{chr(code)}"),)
        if cell_width(shown) != cell_len(shown)
    ]
    assert differing == []


def test_a_terminal_never_sees_an_escape() -> None:
    master, slave = pty.openpty()
    try:
        hostile = [*REMOVED.values(), *REPLACED.values()]
        expected = b""
        for text in hostile:
            line = clean(f"<{text}>").encode()
            os.write(slave, line)
            expected += line
        seen = b""
        while len(seen) < len(expected):
            seen += os.read(master, 65536)
    finally:
        os.close(slave)
        os.close(master)
    assert seen == expected
    assert not any(byte < 0x20 or byte == 0x7F for byte in seen)
    assert not any(0x80 <= ord(char) <= 0x9F for char in seen.decode())
