"""What `/` takes, and what commands take as FILTER.

    word           any column holds it, whatever its case
    "two words"    the same, blanks and signs included
    field:value    this column holds it; a,b: either
    field=value    is exactly it; `field=`: not known
    field>80       also >= < <= !=; with units: mem>600G  time>2h30m  rx>1.5G  rtt>10ms
    ~regex~        some column matches it; field:~regex~: this one does
    gpu[01-16]     on one of these nodes; also @drained, @partition:gpu, …: see console.render.select
    !term          not
    term term      all of them

Words are looked for in all text columns; a whole number also finds the counts and percentages that are shown
so, while sizes, rates and times want their field. What is not known fulfils no comparison, neither `>` nor `<`;
its negation `!` does hold.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import TypeVar

from console import spans
from console.errors import UsageError
from console.render.patterns import MAX_SUBJECT, compile_pattern
from console.render.select import SiteGroups, compile_nodes, is_nodes
from console.render.tables.base import Column, Table, Value
from console.store import Store
from console.text import clean

R = TypeVar("R")
Predicate = Callable[[R], bool]

MAX_FILTER = 1000

_TERM = re.compile(
    r"""\s*(?P<not>!*+)(?P<term>
        (?P<field>[A-Za-z_°][A-Za-z0-9_°%]*)(?P<op>>=|<=|!=|:|=|>|<)
            (?P<value>~(?:[^~\\]|\\.)*~(?=\s|\Z)|"[^"]*"|'[^']*'|\S*)
        |~(?P<regex>(?:[^~\\]|\\.)*)~(?=\s|\Z)
        |"(?P<double>[^"]*)"|'(?P<single>[^']*)'
        |(?P<word>\S+)
    )""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"([+-]?\d+(?:\.(\d+))?)\s*(ms|µs|us|[kKmMgGtTpPeE]?)(?:i?[bB](?:/s)?|W|%|°?C|/s|)\Z")
_COMPARE: tuple[tuple[str, Callable[[float, float], bool]], ...] = (
    (">=", operator.ge),
    ("<=", operator.le),
    (">", operator.gt),
    ("<", operator.lt),
)


def compile_filter(
    text: str, table: Table[R], store: Store | None = None, site_groups: SiteGroups | None = None
) -> Predicate[R]:
    """Return what tells whether a row is shown. UsageError: an unknown field, a value that cannot be read.

    `store` and `site_groups` are for words that name nodes: see `console.render.select`.
    """
    if len(text) > MAX_FILTER:
        what = f"the filter is longer than {MAX_FILTER} characters"
        raise UsageError(what, clean(text[:40]) + "…", "one regular expression may say as much: ~gpu0[1-9]~")
    tests: list[Predicate[R]] = []
    at = 0
    while text[at:].strip():
        match = _TERM.match(text, at)
        if match is None:
            raise UsageError("the filter ends in the middle", clean(text[at:].strip()), "a term follows !")
        at = match.end()
        try:
            test = _term(match, table, store, site_groups)
        except UsageError as error:
            raise UsageError(clean(error.what), clean(error.where or match["term"]), clean(error.hint)) from None
        tests.append(_negated(test) if len(match["not"]) % 2 else test)
    if not tests:
        return _everything
    if len(tests) == 1:
        return tests[0]
    return lambda row: all(test(row) for test in tests)


def _everything(row: object) -> bool:  # noqa: ARG001 - the shape of a predicate
    return True


def _negated(test: Predicate[R]) -> Predicate[R]:
    return lambda row: not test(row)


def _term(match: re.Match[str], table: Table[R], store: Store | None, site_groups: SiteGroups | None) -> Predicate[R]:
    if match["field"] is not None:
        return _field(table.column(match["field"]), match["op"], match["value"])
    if match["regex"] is not None:
        return _any_matches(match["regex"], table)
    for quoted in ("double", "single"):
        if match[quoted] is not None:
            return _word(match[quoted], table)
    if is_nodes(match["word"]):
        holds = compile_nodes(match["word"], store, site_groups)
        return lambda row: any(map(holds, table.nodes(row)))
    return _word(match["word"], table)


def _word(word: str, table: Table[R]) -> Predicate[R]:
    wanted = word.casefold()
    text = table.text
    if not wanted.isdecimal():
        return lambda row: wanted in text(row).casefold()
    number = int(wanted)
    values = [column.value for column in table.columns if column.unit in ("number", "percent")]
    return lambda row: wanted in text(row).casefold() or any(_shows(value(row), number) for value in values)


def _shows(value: Value, number: int) -> bool:
    return isinstance(value, (int, float)) and abs(value - number) <= 0.5


def _any_matches(source: str, table: Table[R]) -> Predicate[R]:
    pattern = compile_pattern(source)
    text = table.text
    return lambda row: any(pattern.search(line[:MAX_SUBJECT]) for line in text(row).split("\n"))


def _field(column: Column[R], sign: str, raw: str) -> Predicate[R]:
    quoted = len(raw) >= 2 and raw[0] == raw[-1] and raw[0] in "\"'"
    wanted = raw[1:-1] if quoted else raw
    if sign == ":" and not quoted and len(raw) >= 2 and raw.startswith("~") and raw.endswith("~"):
        return _field_matches(column, compile_pattern(raw[1:-1]))
    if sign in ("=", "!=", ":") and not wanted and not quoted:
        if sign == ":":
            raise UsageError(f"{column.id}: needs a value", hint=f"{column.id}= finds what is not known")
        return _negated(_unknown(column)) if sign == "!=" else _unknown(column)
    if sign in (":", "=", "!="):
        choices = [wanted] if quoted else [choice for choice in wanted.split(",") if choice]
        tests = [_equals(column, choice, exact=sign != ":") for choice in choices]
        either = tests[0] if len(tests) == 1 else _either(tests)
        return _negated(either) if sign == "!=" else either
    return _compares(column, dict(_COMPARE)[sign], wanted, sign)


def _either(tests: list[Predicate[R]]) -> Predicate[R]:
    return lambda row: any(test(row) for test in tests)


def _unknown(column: Column[R]) -> Predicate[R]:
    return lambda row: column.value(row) in (None, "")


def _field_matches(column: Column[R], pattern: re.Pattern[str]) -> Predicate[R]:
    def test(row: R) -> bool:
        value = column.value(row)
        text = value if isinstance(value, str) else column.cell(row).text
        return value is not None and pattern.search(text[:MAX_SUBJECT]) is not None

    return test


def _equals(column: Column[R], wanted: str, *, exact: bool) -> Predicate[R]:
    if column.unit == "text":
        text = wanted.casefold()
        if exact:
            return lambda row: _folded(column.value(row)) == text
        return lambda row: text in _folded(column.value(row))
    number, step = _number(column, wanted)
    half = step / 2
    # Equal means: shown so. 97 finds 96.6, because the screen rounds it to 97.
    return lambda row: (value := column.value(row)) is not None and abs(_float(value) - number) <= half


def _compares(column: Column[R], compare: Callable[[float, float], bool], wanted: str, sign: str) -> Predicate[R]:
    if column.unit == "text":
        raise UsageError(f"{column.id} is text and has no {sign}", hint=f"use {column.id}:{wanted or 'VALUE'}")
    number, _ = _number(column, wanted)
    return lambda row: (value := column.value(row)) is not None and compare(_float(value), number)


def _folded(value: Value) -> str:
    return "" if value is None else str(value).casefold()


def _float(value: Value) -> float:
    return value if isinstance(value, (int, float)) else float("nan")


def _number(column: Column[R], text: str) -> tuple[float, float]:
    """Return (the number in the column's unit, its step: 1 in the last place that was written)."""
    if column.unit == "seconds":
        span = spans.read(text)
        if span is not None:
            return span
    match = _NUMBER.match(text)
    if match is None:
        example = {"seconds": "90s or 2h30m", "bytes": "600G", "rate": "1.5G"}.get(column.unit, "80")
        raise UsageError(f"{text or 'nothing'} is no number for {column.id}", hint=f"for example {example}")
    number, decimals, suffix = match.groups()
    factor = _factor(column, suffix)
    return float(number) * factor, factor / 10 ** len(decimals or "")


def _factor(column: Column[R], suffix: str) -> float:
    if suffix in ("ms", "µs", "us"):
        if column.unit != "seconds":
            raise UsageError(f"{column.id} is no time", hint="leave out the unit")
        return 1e-3 if suffix == "ms" else 1e-6
    power = " KMGTPE".index(suffix.upper()) if suffix else 0
    return float((1024 if column.unit == "bytes" else 1000) ** power)
