"""Settings: strict TOML whose errors name file, line, key and the nearest valid key.

Three layers, the later over the earlier: `/etc/quarterdeck/config.toml`, then `--config FILE` or
`$XDG_CONFIG_HOME/quarterdeck/config.toml`, then `QD_…` variables; the options of the command line come last.
Tables (`[ui]`, `[ssh]`, `[ui.keymap]`) merge key by key, lists are replaced whole, and a `[[cluster]]`
replaces the one of the same name in the file below. docs/configuration.md lists every key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints

import msgspec

from console import toml_source
from console.errors import ConfigError, UsageError
from console.text import clean
from console.toml_source import Document, KeyPath

SYSTEM_FILE = Path("/etc/quarterdeck/config.toml")
TELEMETRY = ("all", "visible", "off")
MAX_SIMULATED = 100_000

_Seconds = Annotated[float, msgspec.Meta(ge=0.2, le=3600)]
_EXAMPLES: Mapping[str, str] = MappingProxyType({"name": '"prod"', "kind": '"slurm"'})
_RULES = "rules: short, full, ~regex with one (group)~"
_Name = re.compile(r"[^\s/\x00-\x1f\x7f]+")


class UiSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[ui]`: how the console looks and which keys it obeys."""

    theme: str | None = None
    """Name of a theme, built in or a file of `themes/` beside the user's configuration; unset: by the
    terminal."""
    keymap: dict[str, str] = {}
    """Action id to its keys, separated by commas."""
    columns: dict[str, list[str]] = {}
    """Table (`fleet`, `jobs`, …) to the ids of its columns, in order."""
    ascii: bool | None = None
    """Draw with ASCII only; unset: when the locale is not UTF-8."""
    refresh_s: _Seconds | None = None
    """Pace of what is on screen, in seconds; unset: each source's own."""


class SshSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[ssh]`: how hosts are reached; everything else is said in the user's own OpenSSH configuration."""

    config: str | None = None
    """OpenSSH configuration file instead of `~/.ssh/config` and the system's."""
    max_connects: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 8
    """Connections that are opened at the same time."""
    connect_timeout_s: Annotated[float, msgspec.Meta(ge=0.5, le=300)] = 10.0
    """Seconds until a host that does not answer counts as unreachable."""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may stand in a file."""

    cluster: list[dict[str, Any]] = []
    """One table per cluster: name, kind, telemetry, and the settings of its plugin."""
    hosts: str | None = None
    """A nodeset of hosts to show over SSH, beside the clusters."""
    node_name: str = "short"
    """Which names mean the same machine: `short`, `full`, or `~regex~` whose first group is the name."""
    node_alias: dict[str, str] = {}
    """Further names of machines to those that they stand under elsewhere; nodesets on both sides, pair by pair."""
    read_only: bool = False
    """Take away every action that changes something."""
    ssh: SshSettings = SshSettings()
    ui: UiSettings = UiSettings()


class ClusterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[cluster]]` table. Its plugin's settings are checked when the plugin is loaded."""

    name: str
    kind: str
    """Name of the plugin."""
    settings: dict[str, Any] = {}
    """All other keys, `telemetry` among them."""
    document: Document | None = None
    """The file it stands in; None for a cluster of the command line."""
    index: int = 0

    def error(self, key: KeyPath, what: str, hint: str = "") -> ConfigError:
        """Return the error of one of its keys, with file and line where there is a file."""
        if self.document is None:
            return ConfigError(what, clean(f"{self.name}: {toml_source.show_key(key)}"), hint)
        return self.document.error(("cluster", self.index, *key), what, hint)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one run."""

    clusters: tuple[ClusterConfig, ...] = ()
    """Configured or asked for on the command line; empty: what is here is found out (`console.discover`)."""
    only: tuple[str, ...] = ()
    """`--cluster`: names to show; empty: all."""
    telemetry: str | None = None
    """all | visible | off for every cluster, whatever it says itself; None: as each says."""
    node_name: str = "short"
    node_aliases: dict[str, str] = {}
    """Alias to name, one by one."""
    read_only: bool = False
    simulated: bool = False
    ssh: SshSettings = SshSettings()
    ui: UiSettings = UiSettings()
    documents: tuple[Document, ...] = ()
    """The files that were read, the one that counts most first."""
    theme_dir: Path | None = None
    """Where the user's own themes are."""

    def where(self, *key: str | int) -> str:
        """Return `file:line: key` of a setting for a notice; the plain key when no file sets it."""
        for document in self.documents:
            if key in toml_source.key_lines(document.text):
                return clean(document.where(key))
        return toml_source.show_key(key)


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says; None and empty say nothing."""

    config: str | None = None
    clusters: tuple[str, ...] = ()
    hosts: str | None = None
    ssh_config: str | None = None
    simulate: str | None = None
    read_only: bool = False
    theme: str | None = None
    refresh_s: float | None = None


def load(overrides: Overrides, environ: Mapping[str, str], system_file: Path = SYSTEM_FILE) -> Config:
    """Return the settings of this run. Raises ConfigError, or UsageError for an option that cannot be."""
    user_file = _user_file(environ)
    documents: list[Document] = []
    if overrides.config is not None:
        documents += _read(Path(overrides.config), must_exist=True)
    elif user_file is not None:
        documents += _read(user_file)
    documents += _read(system_file)
    settings, clusters = _merge(documents)
    settings = _with_environment(settings, environ)
    name_rule(settings.node_name, _locate(documents, environ, "node_name"))
    ssh, ui = settings.ssh, settings.ui
    if overrides.ssh_config is not None:
        ssh = msgspec.structs.replace(ssh, config=overrides.ssh_config)
    if overrides.theme is not None:
        ui = msgspec.structs.replace(ui, theme=overrides.theme)
    if overrides.refresh_s is not None:
        ui = msgspec.structs.replace(ui, refresh_s=overrides.refresh_s)
    clusters, only = _asked_for(overrides, settings, clusters)
    return Config(
        clusters=clusters,
        only=only,
        node_name=settings.node_name,
        node_aliases=_aliases(settings.node_alias, documents),
        read_only=settings.read_only or overrides.read_only,
        simulated=overrides.simulate is not None,
        ssh=ssh,
        ui=ui,
        documents=tuple(documents),
        theme_dir=user_file.parent / "themes" if user_file else None,
    )


def config_dir(environ: Mapping[str, str]) -> Path | None:
    """Return the user's `quarterdeck` configuration directory, None when there is no home."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "quarterdeck"
    home = environ.get("HOME", "")
    return Path(home) / ".config" / "quarterdeck" if home else None


def name_rule(text: str, where: str = "node_name") -> Callable[[str, str], str]:
    """Return the rule that gives a machine its key from (cluster, name); ConfigError when it is none."""
    from console.model.identity import short_host

    if text == "short":
        return short_host
    if text == "full":
        return lambda _cluster, name: name
    if len(text) > 2 and text.startswith("~") and text.endswith("~"):
        try:
            pattern = re.compile(text[1:-1])
        except re.error as error:
            what = clean(f"is not a regular expression: {error}")
            raise ConfigError(what, where, _RULES) from None
        if pattern.groups == 1:
            return lambda _cluster, name: match[1] if (match := pattern.match(name)) and match[1] else name
        raise ConfigError("the expression needs exactly one (group)", where, r"for example ~([^.]+)\..*~")
    raise ConfigError(clean(f"{text} is no rule"), where, _RULES)


def _aliases(table: Mapping[str, str], documents: Sequence[Document]) -> dict[str, str]:
    """Return each alias with its name. ConfigError where the nodesets do not pair."""
    from console.nodeset import expand

    found: dict[str, str] = {}
    for other, name in table.items():
        key = ("node_alias", other)
        where = next((clean(one.where(key)) for one in documents if other in one.values.get("node_alias", {})), other)
        try:
            others, names = expand(other), expand(name)
        except UsageError as error:
            raise ConfigError(error.in_one_line, where, 'for example "i-0[01-16]" = "gpu[01-16]"') from None
        if len(others) != len(names):
            what = f"{other} names {len(others)} machines and {name} names {len(names)}"
            raise ConfigError(clean(what), where, "as many on both sides, in the same order")
        found.update(zip(others, names, strict=True))
    return found


def parse_simulate(text: str) -> dict[str, int]:
    """Return the settings that `--simulate N[:SEED]` means."""
    count, colon, seed = text.partition(":")
    good = count.isascii() and count.isdigit() and (not colon or (seed.isascii() and seed.isdigit()))
    if not good or not 1 <= int(count[:9]) <= MAX_SIMULATED or len(seed) > 18:
        hint = f"N[:SEED], N from 1 to {MAX_SIMULATED}: --simulate 1024:7"
        raise UsageError(clean(f"cannot simulate {text}"), "--simulate", hint)
    return {"nodes": int(count), "seed": int(seed)} if colon else {"nodes": int(count)}


def _user_file(environ: Mapping[str, str]) -> Path | None:
    directory = config_dir(environ)
    return directory / "config.toml" if directory else None


def _read(path: Path, must_exist: bool = False) -> list[Document]:
    try:
        return [toml_source.read(path)]
    except FileNotFoundError:
        if must_exist:
            hint = "name an existing file; `qd init` writes one to begin with"
            raise ConfigError("there is no such file", clean(str(path)), hint) from None
        return []


def _merge(documents: list[Document]) -> tuple[_File, tuple[ClusterConfig, ...]]:
    """Return the settings of all files, and their clusters in the order in which they are shown."""
    values: dict[str, Any] = {}
    clusters: dict[str, ClusterConfig] = {}
    for document in reversed(documents):
        toml_source.convert(document, (), document.values, _File)
        own = _clusters(document)
        clusters = {**own, **{name: cluster for name, cluster in clusters.items() if name not in own}}
        values = _over(values, {key: value for key, value in document.values.items() if key != "cluster"})
    return msgspec.convert(values, _File), tuple(clusters.values())


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _clusters(document: Document) -> dict[str, ClusterConfig]:
    found: dict[str, ClusterConfig] = {}
    for index, table in enumerate(document.values.get("cluster", [])):
        settings = dict(table)
        words: dict[str, str] = {}
        for key in ("name", "kind"):
            value = settings.pop(key, None)
            if value is None:
                raise document.error(("cluster", index, key), "missing key", f'add {key} = "…"')
            if not isinstance(value, str) or not _Name.fullmatch(value):
                what = f"must be a {key} without spaces and slashes"
                raise document.error(("cluster", index, key), what, f"for example {key} = {_EXAMPLES[key]}")
            words[key] = clean(value)
        telemetry = settings.get("telemetry")
        if telemetry is not None and telemetry not in TELEMETRY:
            what = f"must be one of {', '.join(TELEMETRY)}"
            raise document.error(("cluster", index, "telemetry"), what, 'for example telemetry = "visible"')
        name = words["name"]
        if name in found:
            what = f"two clusters are called {name}"
            raise document.error(("cluster", index, "name"), what, "give each a name of its own")
        found[name] = ClusterConfig(name=name, kind=words["kind"], settings=settings, document=document, index=index)
    return found


def variables() -> dict[str, tuple[KeyPath, Any]]:
    """Return every `QD_…` variable with the key that it overrides and the type of its value."""
    found: dict[str, tuple[KeyPath, Any]] = {}
    for section, struct in (((), _File), (("ssh",), SshSettings), (("ui",), UiSettings)):
        for name, hint in get_type_hints(struct, include_extras=True).items():
            if name not in ("cluster", "node_alias", "ssh", "ui", "keymap", "columns"):
                key: KeyPath = (*section, name)
                found["QD_" + "_".join(map(str, key)).upper()] = (key, hint)
    return found


def _with_environment(settings: _File, environ: Mapping[str, str]) -> _File:
    given = {name: value for name, value in environ.items() if name.startswith("QD_")}
    if not given:
        return settings
    from console.suggest import nearest

    known = variables()
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in known:
            close = nearest(name, known)
            if close is None:
                continue  # somebody else's variable that happens to begin like ours
            raise ConfigError("unknown variable", clean(name), f"did you mean {close}?")
        key, kind = known[name]
        try:
            value = msgspec.convert(_yes_or_no(text) if "bool" in str(kind) else text, kind, strict=False)
        except msgspec.ValidationError as error:
            # What the shell passes has no type: only what is wanted can be said, not what is there instead.
            what = toml_source.plain(error)[0].partition(", not ")[0]
            hint = f"correct it, or take it away: unset {name}"
            raise ConfigError(clean(what), clean(f"{name}={text}"), hint) from None
        nested: dict[str, Any] = values
        for part in key[:-1]:
            nested = nested.setdefault(str(part), {})
        nested[str(key[-1])] = value
    return msgspec.convert(_over(msgspec.to_builtins(settings), values), _File)


def _yes_or_no(text: str) -> str:
    words = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}
    return words.get(text.strip().lower(), text.strip().lower())


def _locate(documents: list[Document], environ: Mapping[str, str], key: str) -> str:
    """Return where a top-level key was set."""
    variable = f"QD_{key.upper()}"
    if variable in environ:
        return variable
    return next((clean(document.where((key,))) for document in documents if key in document.values), key)


def _asked_for(
    overrides: Overrides, settings: _File, clusters: tuple[ClusterConfig, ...]
) -> tuple[tuple[ClusterConfig, ...], tuple[str, ...]]:
    """Return the clusters of this run and the names that `--cluster` leaves of them.

    `--simulate` stands alone. `--hosts` shows those hosts, and configured clusters only if `--cluster` names
    them.
    """
    if overrides.simulate is not None:
        for option, value in (("--hosts", overrides.hosts), ("--cluster", overrides.clusters)):
            if value:
                raise UsageError("these exclude one another", f"--simulate and {option}", "leave one of them out")
        simulated = ClusterConfig(name="simulated", kind="simulated", settings=dict(parse_simulate(overrides.simulate)))
        return (simulated,), ()
    nodeset = overrides.hosts if overrides.hosts is not None else settings.hosts
    if nodeset is None:
        return clusters, overrides.clusters
    taken = {cluster.name for cluster in clusters}
    name = next(word for word in ("hosts", "ssh-hosts", "--hosts") if word not in taken)
    hosts = ClusterConfig(name=name, kind="hosts", settings={"hosts": nodeset})
    if overrides.hosts is None:
        return (*clusters, hosts), overrides.clusters
    if not overrides.clusters:
        return (hosts,), ()
    return (*clusters, hosts), (*overrides.clusters, name)


def default_environ() -> Mapping[str, str]:
    """Return the environment of this process."""
    return os.environ
