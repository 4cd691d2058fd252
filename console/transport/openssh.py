"""The user's own OpenSSH configuration, read as ssh(1) reads it.

The files are read once and again when they change; `resolve` then answers for one host, first value wins.
`Host`, `Include` and `Match all|host|originalhost|user|localuser` are read here. What only ssh itself can decide
(`Match exec`, `final`, `canonical`, `localnetwork`, …, and CanonicalizeHostname) is left to `ssh -G`: see
`needs_ssh`.

StrictHostKeyChecking, ControlMaster, LocalForward and all else that does not matter for reaching the host is
ignored. asyncssh has a reader of its own, which is not used: it reads the files anew for each of a thousand hosts,
opens a jump host once for each host behind it, stops at what it does not know (time units, `Match tagged`, a
comment after a value), expands no `~` in UserKnownHostsFile, and fails where a known_hosts file is missing.
Source: ssh_config(5) of OpenSSH 9.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from console.errors import SourceError
from console.text import clean

SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
_ANOTHER = "name another: --ssh-config FILE, or config in [ssh]"
_MANUAL = "give it its value, or take the line away; see ssh_config(5)"
_MAX_INCLUDES = 16
_MAX_BYTES = 8 << 20
_RAW = frozenset(["proxycommand", "localcommand", "remotecommand", "knownhostscommand"])
_LISTS = frozenset(["identityfile", "certificatefile"])
"""These add up; of all other keywords the first value wins."""
_PROXIES = ("proxyjump", "proxycommand")
_NATIVE_CRITERIA = frozenset(["all", "host", "originalhost", "user", "localuser"])
_KEYWORD = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*)\s*[\s=]\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """A `Host` or `Match` line."""

    keyword: str
    arguments: tuple[str, ...]
    where: str
    names: frozenset[str] = frozenset()
    """All hosts that a `Host` line names, where no pattern stands there: a fleet has a thousand such lines."""


@dataclass(frozen=True)
class Directive:
    """One setting and the conditions it stands under, outermost first."""

    keyword: str
    """In lower case."""
    arguments: tuple[str, ...]
    conditions: tuple[Condition, ...]
    where: str
    """FILE:LINE."""


@dataclass(frozen=True)
class Values:
    """What a configuration says of one host, before defaults."""

    single: Mapping[str, tuple[str, ...]]
    lists: Mapping[str, tuple[str, ...]]
    where: Mapping[str, str]


class ConfigFiles:
    """The configuration files, parsed; read anew when one of them changed."""

    def __init__(self, file: Path | None, home: Path) -> None:
        """Read `file` alone, as `ssh -F` does, or the user's and the system's files."""
        self.file = file
        self._home = home
        self._stamp: tuple[tuple[str, int, int], ...] | None = None
        self._paths: list[Path] = []
        self._directives: tuple[Directive, ...] = ()
        self._needs_ssh: bool | None = None

    def directives(self) -> tuple[Directive, ...]:
        """Return all settings in order. SourceError when a file cannot be read or understood."""
        if self._stamp is None or self._stamp != _stamp(self._paths):
            self._paths = []
            found: list[Directive] = []
            if self.file is not None:
                found += self._read(self.file, (), 0, user=True, must_exist=True)
            else:
                found += self._read(self._home / ".ssh" / "config", (), 0, user=True)
                found += self._read(SYSTEM_CONFIG, (), 0, user=False)
            self._directives = tuple(found)
            self._needs_ssh = None
            self._stamp = _stamp(self._paths)
        return self._directives

    def needs_ssh(self) -> bool:
        """Whether something stands there that only ssh itself can decide."""
        directives = self.directives()
        if self._needs_ssh is None:
            self._needs_ssh = _any_needs_ssh(directives)
        return self._needs_ssh

    def _read(
        self, path: Path, outer: tuple[Condition, ...], depth: int, *, user: bool, must_exist: bool = False
    ) -> Iterator[Directive]:
        self._paths.append(path)
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise SourceError("the ssh configuration is too long", str(path), _ANOTHER)
            text = path.read_text("utf-8", "surrogateescape")
        except OSError as error:
            if must_exist or not isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError):
                what = f"cannot read the ssh configuration: {error.strerror}"
                raise SourceError(what, str(path), _ANOTHER) from None
            return
        conditions = outer
        for number, line in enumerate(text.splitlines(), 1):
            where = f"{path}:{number}"
            parsed = _parse_line(line, where)
            if parsed is None:
                continue
            keyword, arguments = parsed
            if keyword in ("host", "match"):
                plain = keyword == "host" and not any(set(word) & set("*?!") for word in arguments)
                condition = Condition(keyword, arguments, where, frozenset(arguments if plain else ()))
                if keyword == "match":
                    list(_criteria(condition))  # says now what is wrong with it
                conditions = (*outer, condition)
            elif keyword == "include":
                if depth >= _MAX_INCLUDES:
                    raise SourceError("the ssh configuration includes itself", where, "take this Include away")
                for included in self._included(arguments, user=user):
                    yield from self._read(included, conditions, depth + 1, user=user)
            else:
                yield Directive(keyword, arguments, conditions, where)

    def _included(self, patterns: Sequence[str], *, user: bool) -> Iterator[Path]:
        base = self._home / ".ssh" if user else SYSTEM_CONFIG.parent
        for pattern in patterns:
            path = expand_home(pattern, self._home)
            full = path if path.is_absolute() else base / path
            parts = str(full.relative_to("/"))
            yield from sorted(found for found in Path("/").glob(parts) if found.is_file())


def _any_needs_ssh(directives: Sequence[Directive]) -> bool:
    for directive in directives:
        canonicalize = directive.keyword == "canonicalizehostname"
        if canonicalize and directive.arguments[0].lower() not in ("no", "false"):
            return True
        for condition in directive.conditions:
            if condition.keyword == "match" and not _is_native(condition):
                return True
    return False


def resolve(directives: Sequence[Directive], name: str, user: str | None, local_user: str) -> Values:
    """Return what the configuration says of the host that the user calls `name` (and `user@`, when given)."""
    single: dict[str, tuple[str, ...]] = {}
    lists: dict[str, tuple[str, ...]] = {}
    places: dict[str, str] = {}
    if user is not None:
        single["user"] = (user,)
    verdicts: dict[str, bool] = {}
    for directive in directives:
        holds = True
        for condition in directive.conditions:
            verdict = name in condition.names if condition.names else verdicts.get(condition.where)
            if verdict is None:
                verdict = verdicts[condition.where] = _holds(condition, name, single, local_user)
            holds = holds and verdict
        if not holds:
            continue
        keyword = directive.keyword
        if keyword in _LISTS:
            if directive.arguments[0] not in lists.get(keyword, ()):
                lists[keyword] = (*lists.get(keyword, ()), directive.arguments[0])
            continue
        # Of jump and command whichever comes first keeps the other out; `ProxyJump none` only other jumps.
        no_jump = keyword == "proxycommand" and [word.lower() for word in single.get("proxyjump", ())] == ["none"]
        rivals = _PROXIES if keyword in _PROXIES and not no_jump else (keyword,)
        if not any(rival in single for rival in rivals):
            single[keyword] = directive.arguments
            places[keyword] = directive.where
    return Values(single, lists, places)


def parse_ssh_g(text: str) -> Values:
    """Return what `ssh -G` printed: one `keyword value…` a line, defaults included."""
    single: dict[str, tuple[str, ...]] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        keyword, _, rest = line.strip().partition(" ")
        keyword = keyword.lower()
        if not keyword or not rest:
            continue
        if keyword in _LISTS:
            lists[keyword] = (*lists.get(keyword, ()), rest)
        elif keyword in _RAW:
            single.setdefault(keyword, (rest,))
        else:
            single.setdefault(keyword, tuple(rest.split()))
    return Values(single, lists, {})


def expand_home(text: str, home: Path) -> Path:
    """Return a path with a leading `~` replaced."""
    if text == "~" or text.startswith("~/"):
        return home / text[2:]
    return Path(text).expanduser() if text.startswith("~") else Path(text)


def matches(text: str, patterns: str | Sequence[str]) -> bool:
    """Whether a pattern list of OpenSSH (`*`, `?`, a leading `!` refuses) names the text."""
    parts = patterns.split(",") if isinstance(patterns, str) else patterns
    hit = False
    for part in parts:
        if part.startswith("!"):
            if _pattern(part[1:]).fullmatch(text):
                return False
        elif _pattern(part).fullmatch(text):
            hit = True
    return hit


@lru_cache(maxsize=4096)
def _pattern(glob: str) -> re.Pattern[str]:
    # fnmatch without its [sets], which OpenSSH does not have.
    return re.compile(fnmatch.translate(glob.replace("[", "[[]")))


def _holds(condition: Condition, name: str, values: Mapping[str, tuple[str, ...]], local_user: str) -> bool:
    if condition.keyword == "host":
        return matches(name, condition.arguments)
    subjects = {
        "host": values.get("hostname", (name,))[0].replace("%h", name),
        "originalhost": name,
        "user": values.get("user", (local_user,))[0],
        "localuser": local_user,
    }
    for criterion, negated, argument in _criteria(condition):
        result = criterion == "all" or matches(subjects.get(criterion, ""), argument)
        if result == negated:
            return False
    return True


def _is_native(condition: Condition) -> bool:
    return all(criterion in _NATIVE_CRITERIA for criterion, _, _ in _criteria(condition))


def _criteria(condition: Condition) -> Iterator[tuple[str, bool, str]]:
    """Yield (criterion, negated, argument) of a Match line."""
    words = iter(condition.arguments)
    for word in words:
        negated = word.startswith("!")
        criterion, equals, argument = word.lstrip("!").partition("=")
        criterion = criterion.lower()
        if criterion in ("all", "canonical", "final"):
            argument = ""
        elif not equals:
            argument = next(words, "")
            if not argument:
                what = f"Match {clean(criterion)} without a pattern"
                raise SourceError(what, condition.where, f"for example Match {clean(criterion)} NAME")
        yield criterion, negated, argument


def _parse_line(line: str, where: str) -> tuple[str, tuple[str, ...]] | None:
    """Return (keyword, arguments); None for an empty line or a comment."""
    if not line.strip() or line.lstrip().startswith("#"):
        return None
    match = _KEYWORD.match(line)
    if match is None:
        raise SourceError("a keyword without a value in the ssh configuration", where, _MANUAL)
    keyword, rest = match.group(1).lower(), match.group(2).strip()
    if keyword in _RAW:
        return keyword, (rest,)
    arguments = tuple(_words(rest, where))
    if not arguments:
        raise SourceError(f"{clean(match.group(1))} without a value in the ssh configuration", where, _MANUAL)
    return keyword, arguments


def _words(text: str, where: str) -> list[str]:
    """Return the words of a line: two kinds of quotes, backslash before quotes and blanks, `#` comments."""
    words: list[str] = []
    current: list[str] | None = None
    quote = ""
    index = 0
    while index < len(text):
        char = text[index]
        following = text[index + 1 : index + 2]
        if char == "\\" and (following in ("'", '"', "\\") or (following == " " and not quote)) and following:
            current = [*(current or []), following]
            index += 1
        elif quote:
            if char == quote:
                quote = ""
            else:
                current = [*(current or []), char]
        elif char in "'\"":
            quote = char
            current = current or []
        elif char in " \t":
            if current is not None:
                words.append("".join(current))
            current = None
        elif char == "#" and current is None:
            break
        else:
            current = [*(current or []), char]
        index += 1
    if quote:
        what = "a quotation mark without its partner in the ssh configuration"
        raise SourceError(what, where, "close it on the same line")
    if current is not None:
        words.append("".join(current))
    return words


def _stamp(paths: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when one of these files does."""
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append((str(path), -1, -1))
        else:
            found.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(found)


def environment_value(text: str, environ: Mapping[str, str]) -> str:
    """Return the text with `${NAME}` replaced. KeyError when a variable is not set."""
    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", lambda match: environ[match.group(1)], text)


def user_name() -> str:
    """Return the name of the user that runs this process."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return os.environ.get("LOGNAME") or os.environ.get("USER") or str(os.getuid())
