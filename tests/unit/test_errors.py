"""Every mistake on the command line or in the configuration: exit 2, what and where, and what to do next."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from console.cli import main

ROOT = Path(__file__).parents[2]
CLUSTER = '[[cluster]]\nname = "a"\nkind = "simulated"\nnodes = 2\n'
SIMULATED = ("--simulate", "4")

Mistake = tuple[tuple[str, ...], str, str, str]
"""(arguments, what the configuration holds, what is said to have happened, where)."""

MISTAKES: list[Mistake] = [
    # the command line itself
    (("nodse",), "", "no such command", "nodse"),
    (("--nosuch",), "", "cannot be read", "--nosuch"),
    (("nodes", "--jsno"), "", "cannot be read", "--jsno"),
    (("snapshot", "--wait"), "", "cannot be read", "--wait"),
    (("snapshot", "gpu01"), "", "cannot be read", "gpu01"),
    (("completion",), "", "cannot be read", "shell"),
    (("completion", "tcsh"), "", "cannot be read", "tcsh"),
    (("--refresh", "0"), "", "cannot be read", "'0'"),
    (("snapshot", "--wait", "x"), "", "'x' is not a number", "--wait"),
    (("nodes", "--wait", "-1"), "", "'-1' is not a number", "--wait"),
    (("nodes", "--mine"), "", "no owner", "--mine"),
    (("nodes", "--simulate", "x"), "", "cannot simulate x", "--simulate"),
    (("nodes", "--simulate", "0"), "", "cannot simulate 0", "--simulate"),
    (("nodes", *SIMULATED, "--hosts", "h"), "", "exclude one another", "--simulate and --hosts"),
    (("nodes", *SIMULATED, "--cluster", "h"), "", "exclude one another", "--simulate and --cluster"),
    (("fleet",), "", "needs a terminal", "standard input"),
    ((), "", "needs a terminal", "standard input"),
    # what options name
    (("snapshot", *SIMULATED, "--theme", "drak"), "", "no theme is called drak", "--theme"),
    (("nodes", *SIMULATED, "--theme", "nosuch"), "", "no theme is called nosuch", "--theme"),
    (("jobs", *SIMULATED, "--theme", "nosuch"), "", "no theme is called nosuch", "--theme"),
    (("nodes", "--theme", "broken"), "", "unknown key", "themes/broken.toml:1: stlyes"),
    (("nodes", "--config", "/nonexistent.toml"), "", "no such file", "/nonexistent.toml"),
    (("nodes", "--config", "/"), "", "cannot be read (Is a directory)", "/"),
    (("nodes", "--config", ""), "", "cannot be read", "."),
    (("init", "--config", "/etc/passwd"), "", "a configuration already", "/etc/passwd"),
    (("init", "--config", "/proc/nosuch/x.toml"), "", "cannot be written", "/proc/nosuch/x.toml"),
    (("nodes", "--cluster", "nowhere"), "", "no cluster is called nowhere", "--cluster"),
    (("nodes", "--cluster", "b"), CLUSTER, "no cluster is called b", "--cluster"),
    (("nodes", "--hosts", "gpu[1-"), "", "cannot read the nodeset", "gpu[1-, character 4"),
    (("nodes", "--hosts", "@nosuchgroup"), "", "cannot read the nodeset", "@nosuchgroup"),
    (("nodes", "--hosts", ""), "", "nodeset is empty", "''"),
    (("nodes", "--hosts", "h1", "--ssh-config", "/nope"), "", "cannot read the ssh configuration", "/nope"),
    (("nodes", "--ssh-config", "/"), "", "cannot read the ssh configuration", "/"),
    *((("nodes", "--ssh-config", "ssh_config"), text, what, "ssh_config:1") for text, what in (
        ("Host", "a keyword without a value"), ("Port ''' x", "without its partner"), ("Match user", "without a pattern"),
        ("Port #22", "without a value"), ("Include ~/ssh_config", "includes itself"),
    )),
    # filters
    (("nodes", *SIMULATED, "nosuch:1"), "", "no column nosuch", "nosuch:1"),
    (("nodes", *SIMULATED, "util>high"), "", "no number", "util>high"),
    (("nodes", *SIMULATED, "util>10ms"), "", "no time", "util>10ms"),
    (("nodes", *SIMULATED, "state>up"), "", "state is text", "state>up"),
    (("nodes", *SIMULATED, "state:"), "", "needs a value", "state:"),
    (("nodes", *SIMULATED, "x" * 1001), "", "longer than 1000", "xxx…"),
    (("nodes", *SIMULATED, "!"), "", "ends in the middle", "!"),
    (("nodes", *SIMULATED, "~(~"), "", "no regular expression", "("),
    (("nodes", *SIMULATED, "~(a+)+~"), "", "might never end", "(a+)+"),
    (("nodes", *SIMULATED, f"~{'x' * 201}~"), "", "longer than 200", "xxx…"),
    (("nodes", *SIMULATED, "gpu[1-"), "", "cannot read the nodeset", "gpu[1-, character 4"),
    (("nodes", *SIMULATED, "gpu[3-1]"), "", "not a range", "gpu[3-1], character 5"),
    (("nodes", *SIMULATED, "gpu*[1-3]"), "", "no *", "gpu*[1-3]"),
    (("nodes", *SIMULATED, "@nosuch"), "", "nobody knows the group", "@nosuch"),
    (("nodes", *SIMULATED, "@state:drian"), "", "no state is called drian", "@state:drian"),
    (("nodes", *SIMULATED, "@partition:tarin"), "", "no partition is called tarin", "@partition:tarin"),
    (("jobs", *SIMULATED, "@job:1"), "", "no job is called 1", "@job:1"),
    (("nodes", *SIMULATED, "@all!"), "", "nodes are missing after !", "@all!"),
    # the configuration
    *((("snapshot",), text, what, f"config.toml{where}") for text, what, where in (
        ("= 1\n", "is not TOML", ":1"),
        ("[ui]\ntehme = 1\n", "unknown key", ":2: ui.tehme"),
        ("read_only = 1\n", "must be true or false, not a whole number", ":1: read_only"),
        ("hosts = 3\n", "must be text in quotes", ":1: hosts"),
        ("[ui]\nrefresh_s = 0\n", "must be", ":2: ui.refresh_s"),
        ("[ui]\nrefresh_s = true\n", "must be a number, not true or false", ":2: ui.refresh_s"),
        ("[ui.columns]\nfleet = 'node'\n", "must be a list", ":2: ui.columns.fleet"),
        ("[ssh]\nmax_connects = 0\n", "must be a whole number >= 1", ":2: ssh.max_connects"),
        ("ssh = 3\n", "must be a table", ":1: ssh"),
        ("node_name = '~(~'\n", "is not a regular expression", ":1: node_name"),
        ("node_name = '~a~'\n", "exactly one (group)", ":1: node_name"),
        ("node_name = 'shrot'\n", "shrot is no rule", ":1: node_name"),
        ("[[cluster]]\nkind = 'slurm'\n", "missing key", ":1: cluster[1].name"),
        ("[[cluster]]\nname = 'a b'\nkind = 'x'\n", "without spaces", ":2: cluster[1].name"),
        ("[[cluster]]\nname = 'a'\nkind = 7\n", "must be a kind", ":3: cluster[1].kind"),
        ("[[cluster]]\nname = 'a'\nkind = 'slrum'\n", "slrum", ":3: cluster[1].kind"),
        (f"{CLUSTER}telemetry = 'al'\n", "must be one of", ":5: cluster[1].telemetry"),
        (f"{CLUSTER}{CLUSTER}", "two clusters are called a", ":6: cluster[2].name"),
        (f"{CLUSTER}nodse = 4\n", "unknown key", ":5: cluster[1].nodse"),
        ("[[cluster]]\nname='a'\nkind='simulated'\n", "missing key", ":1: cluster[1].nodes"),
        ("[[cluster]]\nname='a'\nkind='slurm'\nbin='x'\n", "absolute path", ":1: cluster[1]"),
        ("[[cluster]]\nname='a'\nkind='slurm'\nvia='ssh://'\n", "not the name of a host", ":1: cluster[1]"),
        ("[[cluster]]\nname='a'\nkind='hosts'\nhosts='h[1-'\n", "a bracket opens", ":1: cluster[1]"),
        ("a = " + "[" * 5000 + "\n", "is not TOML", ""),
        ("#" * (1 << 20) + "##\n", "is larger than", ""),
    )),
    (("snapshot",), 'hosts = "h[1-"\n', "cannot read the nodeset", "h[1-, character 2"),
]  # fmt: skip


def complained(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run a command in this process; return the lines on standard error of one that ends with 2 and prints nothing."""
    code = main(arguments)
    out, error = capsys.readouterr()
    assert (code, out) == (2, ""), error
    return error.splitlines()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home to run in, without anything of this machine."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "sed").symlink_to("/usr/bin/sed")  # ClusterShell reads its groups with it
    monkeypatch.chdir(tmp_path)
    themes = tmp_path / ".config" / "quarterdeck" / "themes"
    themes.mkdir(parents=True)
    (themes / "broken.toml").write_text("[stlyes.ok]\n")
    return tmp_path


def is_told(lines: list[str], what: str, where: str) -> None:
    """Check the form that every error has."""
    assert len(lines) == 2, lines
    said, _, place = lines[0].removeprefix("qd: ").partition(": ")
    assert lines[0].startswith("qd: ")
    assert said
    assert place
    assert what in lines[0]
    assert where in lines[0]
    assert lines[1].startswith("    ")
    assert lines[1].strip()


@pytest.mark.parametrize(("arguments", "text", "what", "where"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_told_in_two_lines(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], text: str, what: str, where: str
) -> None:
    name = "ssh_config" if "ssh_config" in arguments else ".config/quarterdeck/config.toml"
    (home / name).write_text(text)
    is_told(complained(arguments, capsys), what, where)


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("QD_READ_ONLY", "maybe", "must be true or false"),
        ("QD_UI_ASCII", "\x1b[2J", "must be true or false"),
        ("QD_UI_REFRESH_S", "soon", "must be a number"),
        ("QD_UI_REFRESH_S", "0.01", "must be a number >= 0.2"),
        ("QD_SSH_MAX_CONNECTS", "1.5", "must be a whole number"),
        ("QD_SSH_MAX_CONNECTS", "0", "must be a whole number >= 1"),
    ],
)
def test_a_variable_that_cannot_be_is_told_in_words(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    what: str,
) -> None:
    monkeypatch.setenv(variable, value)
    lines = complained(("snapshot",), capsys)
    is_told(lines, f"qd: {what}: {variable}=", "" if "\x1b" in value else value)
    assert "Expected" not in lines[0]
    assert "got" not in lines[0]
    assert "\x1b" not in lines[0]


def test_a_variable_that_does_not_exist_is_told(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QD_UI_TEHME", "dark")
    is_told(complained(("nodes",), capsys), "unknown variable", "QD_UI_TEHME")


ERRORS = frozenset(
    ["UsageError", "ConfigError", "PluginError", "SourceError", "Unreachable", "TimedOut", "ConnectionLost", "Denied",
     "HostKeyUnknown", "HostKeyChanged", "Unsupported", "BadAnswer", "CommandFailed", "MisfitError"]
)  # fmt: skip


def without_hint(source: str) -> list[int]:
    """Return the lines on which an error is made, or that of a key of a document, with nothing to do next."""
    found = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        spread = any(isinstance(argument, ast.Starred) for argument in call.args)
        hinted = spread or len(call.args) > 2 or any(keyword.arg == "hint" for keyword in call.keywords)
        if not hinted and (name in ERRORS or (name == "error" and len(call.args) == 2)):
            found.append(call.lineno)
    return found


def test_what_counts_as_an_error_without_a_hint() -> None:
    assert without_hint("Denied('no', 'h1')\nraise document.error(('key',), 'no')\nerrors.BadAnswer('no')") == [1, 2, 3]
    assert without_hint("Denied('no', 'h1', 'ask')\nUsageError('no', hint='x')\nMisfitError((), *plain(e))") == []


@pytest.mark.parametrize("folder", ["console", "plugins"])
def test_no_error_is_made_without_what_to_do_next(folder: str) -> None:
    found = {str(path.relative_to(ROOT)): without_hint(path.read_text()) for path in (ROOT / folder).rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}
