"""Settings: where they come from, what stands over what, and every mistake with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.config import Config, Overrides, config_dir, load, name_rule, parse_simulate, variables
from console.errors import ConfigError, QuarterdeckError, UsageError
from console.model.identity import with_aliases


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


class Place:
    """A home and a system file of its own."""

    def __init__(self, root: Path) -> None:
        self.environ = {"HOME": str(root / "home"), "XDG_CONFIG_HOME": str(root / "xdg")}
        self.user_file = root / "xdg" / "quarterdeck" / "config.toml"
        self.system_file = root / "etc" / "config.toml"

    def user(self, text: str) -> Place:
        write(self.user_file, text)
        return self

    def system(self, text: str) -> Place:
        write(self.system_file, text)
        return self

    def load(self, overrides: Overrides | None = None, **environ: str) -> Config:
        return load(overrides or Overrides(), {**self.environ, **environ}, self.system_file)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_nothing_configured_is_fine(place: Place) -> None:
    assert place.load() == Config(theme_dir=place.user_file.parent / "themes")
    assert load(Overrides(), {}, place.system_file).theme_dir is None


def test_the_user_stands_over_the_system_key_by_key(place: Place) -> None:
    place.system('read_only = true\n[ui]\ntheme = "light"\nascii = true\n[ui.keymap]\na = "1"\nb = "2"\n')
    place.user('[ui]\ntheme = "mono"\n[ui.keymap]\nb = "3"\n[ui.columns]\nfleet = ["node"]\n')
    config = place.load()
    assert config.read_only
    assert (config.ui.theme, config.ui.ascii) == ("mono", True)
    assert config.ui.keymap == {"a": "1", "b": "3"}
    assert [document.path for document in config.documents] == [place.user_file, place.system_file]


def test_a_cluster_replaces_the_one_of_its_name_whole(place: Place) -> None:
    place.system('[[cluster]]\nname="a"\nkind="slurm"\nvia="ssh://x"\n[[cluster]]\nname="b"\nkind="local"\n')
    place.user('[[cluster]]\nname = "c"\nkind = "local"\n[[cluster]]\nname = "a"\nkind = "hosts"\nhosts = "h1"\n')
    clusters = place.load().clusters
    assert [(cluster.name, cluster.kind) for cluster in clusters] == [("c", "local"), ("a", "hosts"), ("b", "local")]
    assert clusters[1].settings == {"hosts": "h1"}


def test_a_file_of_the_command_line_takes_the_place_of_the_users(place: Place, tmp_path: Path) -> None:
    place.system("read_only = true\n").user('[ui]\ntheme = "light"\n')
    named = write(tmp_path / "named.toml", "[ui]\nascii = true\n")
    config = place.load(Overrides(config=str(named)))
    assert (config.ui.theme, config.ui.ascii, config.read_only) == (None, True, True)


def test_a_named_file_must_exist_and_others_need_not(place: Place, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        place.load(Overrides(config=str(tmp_path / "absent.toml")))


def test_variables_stand_over_files_and_options_over_variables(place: Place) -> None:
    place.user('[ui]\ntheme = "light"\nrefresh_s = 9\n')
    config = place.load(QD_UI_THEME="mono", QD_UI_REFRESH_S="3", QD_READ_ONLY="yes", QD_SSH_MAX_CONNECTS="7")
    assert (config.ui.theme, config.ui.refresh_s, config.read_only, config.ssh.max_connects) == ("mono", 3.0, True, 7)
    config = place.load(Overrides(theme="dark", refresh_s=1.0), QD_UI_THEME="mono", QD_UI_REFRESH_S="3")
    assert (config.ui.theme, config.ui.refresh_s) == ("dark", 1.0)


def test_every_scalar_key_has_a_variable(place: Place) -> None:
    assert set(variables()) == {
        "QD_HOSTS", "QD_NODE_NAME", "QD_READ_ONLY", "QD_SSH_CONFIG", "QD_SSH_MAX_CONNECTS",
        "QD_SSH_CONNECT_TIMEOUT_S", "QD_UI_THEME", "QD_UI_ASCII", "QD_UI_REFRESH_S",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("QD_UI_REFRESH_S", "soon", ""),
        ("QD_UI_REFRESH_S", "0.01", ""),
        ("QD_UI_ASCII", "perhaps", ""),
        ("QD_SSH_MAX_CONNECTS", "0", ""),
        ("QD_UI_TEHME", "dark", "did you mean QD_UI_THEME?"),
        ("QD_NODE_NAME", "shrot", "rules: short"),
    ],
)
def test_a_bad_variable_is_named(place: Place, variable: str, value: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        place.load(None, **{variable: value})
    assert caught.value.where.startswith(variable)
    assert hint in caught.value.hint


def test_a_strangers_variable_is_none_of_ours(place: Place) -> None:
    assert place.load(QD_ZZZZ="1") == place.load()


@pytest.mark.parametrize(
    ("text", "where", "what", "hint"),
    [
        ("teh = 1\n", ":1: teh", "unknown key", "valid: cluster, hosts"),
        ('[ui]\n\ntehme = "dark"\n', ":3: ui.tehme", "unknown key", "did you mean theme?"),
        ('ui.thme = "dark"\n', ":1: ui.thme", "unknown key", "did you mean theme?"),
        ('ui = {ascii = true, colums = {}}\n', ":1: ui.colums", "unknown key", "did you mean columns?"),
        ("[ssh]\nmax_connects = '8'\n", ":2: ssh.max_connects", "must be a whole number, not text in quotes", ""),
        ("[ssh]\nmax_connects = 0\n", ":2: ssh.max_connects", "must be a whole number >= 1", ""),
        ("[ui]\nascii = 'no'\n", ":2: ui.ascii", "must be true or false, not text in quotes", ""),
        ("[ui.columns]\nfleet = ['a',\n 2]\n", ":3: ui.columns.fleet[2]", "must be text in quotes", ""),
        ("[ui.keymap]\nq = 1\n", ":2: ui.keymap.q", "must be text in quotes", ""),
        ("[cluster]\nname = 'a'\n", ":1: cluster", "must be a list, not a table", ""),
        ("[[cluster]]\nkind = 'slurm'\n", ":1: cluster[1].name", "missing key", 'add name = "…"'),
        ("[[cluster]]\nname = 'a'\n", ":1: cluster[1].kind", "missing key", ""),
        ("[[cluster]]\nname = 'a b'\nkind = 'x'\n", ":2: cluster[1].name", "without spaces", ""),
        ("[[cluster]]\nname = 7\nkind = 'x'\n", ":2: cluster[1].name", "must be a name", ""),
        ("[[cluster]]\nname='a'\nkind='x'\ntelemetry='al'\n", ":4: cluster[1].telemetry", "all, visible, off", ""),
        ("[[cluster]]\nname='a'\nkind='x'\n[[cluster]]\nkind='x'\nname='a'\n", ":6: cluster[2].name", "two clusters", ""),
        ("hosts = 3\n", ":1: hosts", "must be text in quotes, not a whole number", ""),
        ("node_name = '~(~'\n", ":1: node_name", "is not a regular expression", ""),
        ('[node_alias]\n"i-[1-3]" = "gpu[1-2]"\n', ":2: node_alias.\"i-[1-3]\"", "names 3 machines and gpu[1-2] names 2", ""),
        ('[node_alias]\n"i-[1" = "gpu1"\n', ":2: node_alias.\"i-[1\"", "", ""),
        ("node_name = '~a~'\n", ":1: node_name", "exactly one (group)", ""),
        ("a = \n", ":1", "is not TOML", ""),
        ("[ui\n", ":1", "is not TOML", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_line_key(place: Place, text: str, where: str, what: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        place.user(text).load()
    assert caught.value.where == f"{place.user_file}{where}"
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_mistake_in_the_system_file_names_that_file(place: Place) -> None:
    place.system("[ui]\nthem = 1\n").user("")
    with pytest.raises(ConfigError, match="unknown key") as caught:
        place.load()
    assert caught.value.where == f"{place.system_file}:2: ui.them"


def test_simulation_stands_alone(place: Place) -> None:
    place.user('hosts = "h1"\n[[cluster]]\nname = "a"\nkind = "slurm"\n')
    config = place.load(Overrides(simulate="1024:7"))
    assert config.simulated
    assert [(cluster.kind, cluster.settings) for cluster in config.clusters] == [
        ("simulated", {"nodes": 1024, "seed": 7})
    ]
    for overrides in (Overrides(simulate="8", hosts="h"), Overrides(simulate="8", clusters=("a",))):
        with pytest.raises(UsageError, match="exclude one another"):
            place.load(overrides)


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "1:", "1:x", "1:2:3", "1e3", "٣", "99999999999", "100001"])
def test_what_cannot_be_simulated(text: str) -> None:
    with pytest.raises(UsageError):
        parse_simulate(text)


def test_hosts_of_the_command_line_are_shown_alone_or_beside_named_clusters(place: Place) -> None:
    place.user('[[cluster]]\nname = "a"\nkind = "slurm"\n[[cluster]]\nname = "hosts"\nkind = "local"\n')
    assert [cluster.settings for cluster in place.load(Overrides(hosts="h[1-2]")).clusters] == [{"hosts": "h[1-2]"}]
    config = place.load(Overrides(hosts="h1", clusters=("a",)))
    assert config.only == ("a", "ssh-hosts")
    assert [cluster.name for cluster in config.clusters] == ["a", "hosts", "ssh-hosts"]


def test_hosts_of_the_file_stand_beside_its_clusters(place: Place) -> None:
    place.user('hosts = "h1"\n[[cluster]]\nname = "a"\nkind = "slurm"\n')
    assert [cluster.kind for cluster in place.load().clusters] == ["slurm", "hosts"]


def test_name_rules() -> None:
    assert name_rule("short")("c", "gpu1.dc.local") == "gpu1"
    assert name_rule("short")("c", "10.0.0.1") == "10.0.0.1"
    assert name_rule("full")("c", "gpu1.dc.local") == "gpu1.dc.local"
    rule = name_rule(r"~ip-(\d+)-.*~")
    assert rule("c", "ip-17-x") == "17"
    assert rule("c", "other") == "other"


def test_names_that_no_rule_finds_are_given_pair_by_pair(place: Place) -> None:
    config = place.user('[node_alias]\n"i-0[01-02]" = "gpu[01-02]"\n"bastion-a" = "login1.dc.local"\n').load()
    key = with_aliases(name_rule(config.node_name), config.node_aliases)
    assert [key("k8s", name) for name in ("i-001", "i-002.ec2.internal", "bastion-a", "gpu01.dc.local")] == [
        "gpu01", "gpu02", "login1", "gpu01",
    ]  # fmt: skip


def test_where_a_setting_stands(place: Place) -> None:
    config = place.user('[ui.keymap]\ndrain = "D"\n').load()
    assert config.where("ui", "keymap", "drain") == f"{place.user_file}:2: ui.keymap.drain"
    assert config.where("ui", "theme") == "ui.theme"


def test_a_relative_xdg_directory_is_ignored_as_its_standard_says() -> None:
    assert config_dir({"HOME": "/h", "XDG_CONFIG_HOME": "rel"}) == Path("/h/.config/quarterdeck")
    assert config_dir({}) is None


def test_errors_are_clean(place: Place) -> None:
    place.user('"\\u001b[2Jx" = 1\n')
    with pytest.raises(QuarterdeckError) as caught:
        place.load()
    assert "\x1b" not in f"{caught.value}{caught.value.hint}"
