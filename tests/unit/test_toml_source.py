"""TOML whose mistakes are named with their line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import toml_source
from console.errors import ConfigError
from console.toml_source import KeyPath, MisfitError, check, key_lines, show_key

TEXT = '''\
# a comment with [brackets] and = signs
a.b."c d" = 1
x = [1,
  {y = 2, z.w = "#=["}, # ]
 """ many
 lines ]""", 3]
[ui] # hi
theme = 'da"rk'
"quoted \\u0041" = """ends in two quotes """""
[[cluster]]
name = "a"
[cluster.sub]
k=1
[[cluster]]
name = 'b'
t = 1979-05-27 07:32:00 # blank inside
[[cluster.x]]
q=1
'''


def test_lines_of_every_kind_of_key() -> None:
    lines = key_lines(TEXT)
    expected: dict[KeyPath, int] = {
        ("a",): 2, ("a", "b"): 2, ("a", "b", "c d"): 2,
        ("x",): 3, ("x", 0): 3, ("x", 1): 4, ("x", 1, "y"): 4, ("x", 1, "z", "w"): 4, ("x", 2): 5, ("x", 3): 6,
        ("ui",): 7, ("ui", "theme"): 8, ("ui", "quoted A"): 9,
        ("cluster", 0): 10, ("cluster", 0, "name"): 11, ("cluster", 0, "sub", "k"): 13,
        ("cluster", 1): 14, ("cluster", 1, "name"): 15, ("cluster", 1, "t"): 16,
        ("cluster", 1, "x", 0, "q"): 18,
    }  # fmt: skip
    assert {key: lines.get(key) for key in expected} == expected


def paths(value: Any, key: KeyPath = ()) -> set[KeyPath]:
    """Return the paths of everything inside a parsed value."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    found: set[KeyPath] = {key} if key else set()
    for part, item in items:
        found |= paths(item, (*key, part))
    return found


def test_every_path_that_tomllib_reads_has_a_line() -> None:
    assert paths(tomllib.loads(TEXT)) <= set(key_lines(TEXT))


_words = st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"]), max_size=8)
_leaves = st.one_of(
    st.integers(-9, 9).map(str),
    st.booleans().map(lambda flag: str(flag).lower()),
    _words.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'),
    _words.map(lambda text: "'" + text.replace("'", "") + "'"),
    _words.map(lambda text: '"""\n' + text.replace("\\", "\\\\").replace('"', "'") + '\n"""'),
)
_keys = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True),
    _words.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'),
)
_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", # x\n ".join([*items, ""]) + "]"),
        st.lists(st.tuples(_keys, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key} = {value}" for key, value in pairs if "\n" not in value) + "}"
        ),
    ),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.sampled_from(["", "[t]\n", "[[a]]\n", "[a.b]\n"]), _keys, _values), max_size=6))
def test_any_toml_is_walked_to_its_end(parts: list[tuple[str, str, str]]) -> None:
    text = "".join(f"{header}{key} = {value} # end\n" for header, key, value in parts)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # a key twice, a table over a value: not TOML, so never scanned
    lines = key_lines(text)
    assert paths(values) <= set(lines)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    inner: Inner | None = None
    parts: list[Inner] = []
    words: dict[str, list[str]] = {}
    seconds: float | None = None


@pytest.mark.parametrize(
    ("value", "key", "what", "hint"),
    [
        ({}, ("name",), "missing key", "add name"),
        ({"name": 3}, ("name",), "must be text in quotes, not a whole number", ""),
        ({"name": "x", "iner": 1}, ("iner",), "unknown key", "did you mean inner?"),
        ({"name": "x", "zzzzz": 1}, ("zzzzz",), "unknown key", "valid: inner, name, parts, seconds, words"),
        ({"name": "x", "inner": {"sice": 1}}, ("inner", "sice"), "unknown key", "did you mean size?"),
        ({"name": "x", "inner": {"size": 0}}, ("inner", "size"), "must be a whole number >= 1", ""),
        ({"name": "x", "inner": 3}, ("inner",), "must be a table, not a whole number", ""),
        ({"name": "x", "parts": [{}, {"size": "1"}]}, ("parts", 1, "size"), "must be a whole number, not text", ""),
        ({"name": "x", "words": {"a": [1]}}, ("words", "a", 0), "must be text in quotes, not a whole number", ""),
        ({"name": "x", "words": {"a": "b"}}, ("words", "a"), "must be a list, not text in quotes", ""),
        ({"name": "x", "seconds": "2"}, ("seconds",), "must be a number, not text in quotes", ""),
    ],
)  # fmt: skip
def test_the_first_misfit_is_named(value: dict[str, Any], key: KeyPath, what: str, hint: str) -> None:
    with pytest.raises(MisfitError) as caught:
        check(value, Outer)
    assert caught.value.key == key
    assert caught.value.what.startswith(what)
    assert hint in caught.value.hint


def test_what_fits_is_converted() -> None:
    assert check({"name": "x", "parts": [{"size": 2}], "seconds": 3}, Outer) == Outer("x", None, [Inner(2)], {}, 3.0)


def test_a_rule_of_the_type_itself_is_an_error_of_the_whole() -> None:
    class Ruled(msgspec.Struct):
        low: int
        high: int

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low is above high")

    with pytest.raises(MisfitError, match="low is above high") as caught:
        check({"low": 2, "high": 1}, Ruled)
    assert caught.value.key == ()


@pytest.mark.parametrize(
    ("data", "where", "what"),
    [
        (b'a = 1\nb = [1,\nc = "x"\n', ":3", "is not TOML"),
        (b"a = 1\na = 2\n", ":2", "is not TOML"),
        (b"a =", ":1", "is not TOML"),
        (b'a = 1\nb = "\n', ":2", "is not TOML"),
        (b"a = 1\n\nb = '\xff'\n", ":3", "is not UTF-8"),
        (b"a = " + b"[" * 5000, "", "is not TOML"),
    ],
)
def test_what_is_not_toml_is_named_with_its_line(data: bytes, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        toml_source.parse(Path("/x/config.toml"), data)
    assert caught.value.where == f"/x/config.toml{where}"
    assert what in caught.value.what


def test_windows_line_ends_and_a_byte_order_mark_are_read() -> None:
    document = toml_source.parse(Path("x"), b"\xef\xbb\xbfa = 1\r\n[b]\r\nc = 2\r\n")
    assert document.values == {"a": 1, "b": {"c": 2}}
    assert document.where(("b", "c")) == "x:3: b.c"


def test_a_key_that_is_not_written_is_located_by_its_table() -> None:
    document = toml_source.parse(Path("x"), TEXT.encode())
    assert document.where(("cluster", 1, "kind")) == "x:14: cluster[2].kind"
    assert document.where(("nowhere",)) == "x: nowhere"


def test_hostile_keys_reach_no_terminal() -> None:
    document = toml_source.parse(Path("x"), b'"a\\u001b]52;c;aGk=\\u0007" = 1\n')
    with pytest.raises(ConfigError) as caught:
        toml_source.convert(document, (), document.values, Inner)
    text = f"{caught.value} {caught.value.hint}"
    assert all(ord(char) >= 32 and not 0x7F <= ord(char) < 0xA0 for char in text)


@pytest.mark.parametrize(
    ("key", "text"),
    [(("a", 0, "b-c"), "a[1].b-c"), (("ui", "x y"), 'ui."x y"'), ((), "")],
)
def test_keys_are_shown_as_people_write_them(key: KeyPath, text: str) -> None:
    assert show_key(key) == text


def test_unreadable_and_oversized_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        toml_source.read(tmp_path)
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * (toml_source.MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger"):
        toml_source.read(big)
    with pytest.raises(FileNotFoundError):
        toml_source.read(tmp_path / "absent.toml")
