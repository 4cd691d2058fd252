"""The documentation says what is true: every key with its default, every command and option, every link."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from console.cli import build_parser
from console.commands import COMMANDS
from console.config import Overrides, SshSettings, UiSettings, _File, load, variables
from console.registry import BUILT_IN, Registry
from console.render.tables import TABLES
from console.toml_source import check

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text()
COMMAND_PAGE = (DOCS / "commands.md").read_text()
IN_WORDS = (
    "required",
    "none",
    "the ",
    "by ",
    "on ",
    "as ",
    "each ",
    "this host",
    "ten for",
    "`hosts` and",
    "hostname",
    "[",
)


def rows(section: str) -> dict[str, str]:
    """Return key to default of the table under a heading."""
    body = re.split(r"\n#+ ", CONFIGURATION.split(f"{section}\n", 1)[1], maxsplit=1)[0]
    found = re.findall(r"^\| `([a-z_]+)` \|[^|]*\|([^|]*)\|", body, re.MULTILINE)
    return {key: default.strip().strip("`") for key, default in found}


@pytest.mark.parametrize(
    ("section", "struct", "left_out"),
    [
        ("## Keys", _File, {"cluster", "ssh", "ui"}),
        ("### `[ssh]`", SshSettings, set()),
        ("### `[ui]`", UiSettings, set()),
        *((f'#### `kind = "{name}"`', Registry().load(name).settings_type, {"telemetry"}) for name in sorted(BUILT_IN)),
    ],
)
def test_every_key_is_documented_with_its_default(
    section: str, struct: type[msgspec.Struct], left_out: set[str]
) -> None:
    documented = rows(section) if f"{section}\n\n|" in CONFIGURATION or "[ssh]" in section else {}
    fields = {field.name: field for field in msgspec.structs.fields(struct) if field.name not in left_out}
    assert set(documented) == set(fields)
    for name, default in documented.items():
        if default == "" or default.startswith(IN_WORDS):
            continue
        assert tomllib.loads(f"x = {default}")["x"] == fields[name].default, name


def test_every_variable_is_documented() -> None:
    assert set(re.findall(r"^\| `(QD_[A-Z_]+)`", CONFIGURATION, re.MULTILINE)) == set(variables())


def test_the_example_loads(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", CONFIGURATION, re.DOTALL)
    path = tmp_path / "config.toml"
    path.write_text(example)
    config = load(Overrides(config=str(path)), {})
    for cluster in config.clusters:
        check(cluster.settings, Registry().load(cluster.kind).settings_type)
    assert len(config.clusters) == 2


def test_every_command_is_documented() -> None:
    for name in COMMANDS:
        assert f"`qd {name}" in COMMAND_PAGE


def test_every_option_is_documented() -> None:
    parsers = [build_parser(name) for name in COMMANDS]
    options = {
        word for parser in parsers for action in parser._actions for word in action.option_strings if word[1] == "-"
    }
    for option in options - {"--help"}:
        assert f"`{option}" in COMMAND_PAGE or f"[{option}" in COMMAND_PAGE, option


def test_every_field_is_documented() -> None:
    for line, table in (("Fields of nodes: ", "fleet"), ("Fields of jobs: ", "jobs")):
        text = COMMAND_PAGE.split(line, 1)[1].split(".\n", 1)[0]
        assert re.findall(r"`([a-z]+)`", text) == [column.id for column in TABLES[table].columns]


@pytest.mark.parametrize("page", sorted([*DOCS.glob("*.md"), ROOT / "README.md"]), ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_plugin_of_the_documentation_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = re.findall(r"```python\n(.*?)```", (DOCS / "plugins.md").read_text(), re.DOTALL)[0]
    from tests.unit.strangers import install

    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "nomad", source)
    assert Registry().load("nomad").summary == "Nomad clients"
