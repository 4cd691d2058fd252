"""Lines of a probe to samples: rates from counters, deltas, and lines of ill will."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.errors import BadAnswer, SourceError
from console.model import Batch, Records, Sample, SourceStatus, decode_batch, encode_batch
from console.probes.decode import STATE_LIMIT_BYTES, Decoder
from console.probes.node.main import merge_patch
from console.probes.node.mounts import parse_mountstats
from console.probes.rates import COUNTED_ANEW, NEEDS_TWO, Counters, NfsWatch, grown

FIXTURES = Path(__file__).parent.parent / "fixtures"
NOW = 1_795_000_000.0


def line(number: int, patch: dict[str, Any], *, full: bool = False, t: float | None = None) -> bytes:
    found: dict[str, Any] = {"n": number, "t": 100.0 + number if t is None else t, "w": NOW + number, "p": patch}
    if full:
        found["full"] = 1
    return json.dumps(found).encode()


class Node:
    """The far end: sends states as patches onto what it sent before."""

    def __init__(self) -> None:
        self.decoder = Decoder("gpu01")
        self._sent: dict[str, Any] = {}
        self._number = 0

    def send(self, state: dict[str, Any], *, full: bool = False) -> Sample:
        full = full or self._number == 0
        patch = state if full else merge_patch(self._sent, state)
        self._sent, self._number = state, self._number + 1
        return self.decoder.feed(line(self._number, patch, full=full), NOW + self._number)


def link(rx: int, at: float, **more: Any) -> dict[str, Any]:
    counters = {"kind": "ethernet", "rx_bytes": rx, "tx_bytes": 0, "errors": 0, "drops": 0, **more}
    return {"at": {"network": at}, "links": {"eth0": counters}}


def test_rates_need_two_readings_and_say_so() -> None:
    node = Node()
    first = node.send(link(1000, 10.0)).links[0]
    assert first.rx_bytes_per_s is None
    assert first.missing["rx_bytes_per_s"] == NEEDS_TWO
    second = node.send(link(5000, 12.0)).links[0]
    assert second.rx_bytes_per_s == 2000.0
    assert second.tx_bytes_per_s == 0.0
    assert second.missing == {}


def test_a_reading_of_the_same_time_is_none() -> None:
    node = Node()
    node.send(link(0, 10.0))
    before = node.send(link(4000, 12.0)).links[0]
    for at in (12.0, 11.0):
        assert node.send(link(4000, at)).links[0] == before, "no time passed, so nothing is known anew"
    assert node.send(link(4000, 14.0)).links[0].rx_bytes_per_s == 0.0


def test_the_wall_clock_may_jump() -> None:
    decoder = Decoder("gpu01")
    decoder.feed(line(1, link(0, 10.0), full=True), NOW)
    raw = json.dumps({"n": 2, "t": 102.0, "w": NOW + 7200, "p": link(4000, 12.0)}).encode()
    sample = decoder.feed(raw, NOW + 2)
    assert sample.links[0].rx_bytes_per_s == 2000.0
    assert sample.clock_offset_s == 7198.0


def test_a_counter_that_began_anew_has_no_rate_for_this_once() -> None:
    node = Node()
    node.send(link(10**12, 10.0))
    reset = node.send(link(500, 12.0)).links[0]
    assert reset.rx_bytes_per_s is None
    assert reset.missing["rx_bytes_per_s"] == COUNTED_ANEW
    assert reset.tx_bytes_per_s == 0.0
    assert node.send(link(2500, 14.0)).links[0].rx_bytes_per_s == 1000.0


def test_a_counter_that_went_round() -> None:
    assert grown(2**32 - 10, 90) == 100
    assert grown(2**64 - 10, 90) == 100
    assert grown(10**6, 5) is None
    assert grown(5, 5) == 0


def test_a_counter_that_appears_later_needs_two_readings_too() -> None:
    counters = Counters()
    spec = {"x": ("x_per_s", 1.0)}
    assert not counters.advance(1.0, {}, spec)
    assert counters.advance(2.0, {"x": 5}, spec)
    assert counters.missing == {"x_per_s": NEEDS_TWO}
    counters.advance(3.0, {"x": 8}, spec)
    assert counters.rates == {"x_per_s": 3.0}


def test_busy_share_of_a_disk() -> None:
    def disk(busy_ms: int, at: float) -> dict[str, Any]:
        return {"at": {"disks": at}, "disks": {"sda": {"read_bytes": 0, "write_bytes": 0, "busy_ms": busy_ms}}}

    node = Node()
    node.send(disk(0, 1.0))
    assert node.send(disk(500, 2.0)).disks[0].busy_percent == 50.0
    assert node.send(disk(1600, 3.0)).disks[0].busy_percent == 100.0, "never more than always"


def test_errors_of_an_adapter_have_a_time_of_their_own() -> None:
    def port(errors: int, errors_at: float, at: float) -> dict[str, Any]:
        counters = {"kind": "infiniband", "rx_bytes": 0, "tx_bytes": 0, "errors": errors, "errors_at": errors_at}
        return {"at": {"rdma": at}, "links": {"mlx5_0/1": counters}}

    node = Node()
    node.send(port(0, 10.0, 10.0))
    assert node.send(port(0, 10.0, 12.0)).links[0].errors_per_s is None
    assert node.send(port(50, 20.0, 20.0)).links[0].errors_per_s == 5.0
    assert node.send(port(50, 20.0, 22.0)).links[0].errors_per_s == 5.0, "nothing newer is known"


def test_what_did_not_change_is_the_same_object() -> None:
    node = Node()
    state: dict[str, Any] = {
        **link(0, 1.0),
        "accelerators": {"0": {"model": "H100", "power_w": 100.0}, "1": {"model": "H100", "power_w": 100.0}},
    }
    node.send(state)
    state = {**state, "at": {"network": 2.0}}
    before = node.send(state)
    gpus = {"0": {"model": "H100", "power_w": 100.0}, "1": {"model": "H100", "power_w": 200.0}}
    after = node.send({**state, "at": {"network": 3.0}, "accelerators": gpus})
    assert after.links is before.links
    assert after.accelerators[0] is before.accelerators[0]
    assert after.accelerators[1].power_w == 200.0


def test_things_come_and_go() -> None:
    node = Node()
    gpu = {"vendor": "nvidia"}
    assert [a.index for a in node.send({"accelerators": {"10": gpu, "2": gpu}}).accelerators] == [2, 10]
    assert [a.index for a in node.send({"accelerators": {"2": gpu}}).accelerators] == [2]
    sample = node.send({"missing": {"accelerators": "gone"}, **link(1, 1.0)})
    assert sample.accelerators == ()
    assert sample.missing == {"accelerators": "gone"}
    assert len(sample.links) == 1
    assert node.send({}).links == ()


def test_a_field_that_is_known_no_more_is_none() -> None:
    node = Node()
    node.send({"accelerators": {"0": {"power_w": 5.0}}})
    sample = node.send({"accelerators": {"0": {"missing": {"power_w": "not supported"}}}})
    assert sample.accelerators[0].power_w is None
    assert sample.accelerators[0].missing == {"power_w": "not supported"}


def test_a_record_does_not_change_after_it_was_handed_out() -> None:
    node = Node()
    first = node.send({"accelerators": {"0": {"missing": {"a": "x"}}}, "missing": {"disks": "x"}})
    node.send({"accelerators": {"0": {"missing": {"a": "x", "b": "y"}}}, "missing": {"links": "y"}})
    assert first.accelerators[0].missing == {"a": "x"}
    assert first.missing == {"disks": "x"}


def test_a_whole_line_replaces_all_and_keeps_the_rates() -> None:
    node = Node()
    node.send({**link(0, 10.0), "disks": {"sda": {}}})
    sample = node.send(link(2000, 12.0), full=True)
    assert sample.links[0].rx_bytes_per_s == 1000.0
    assert sample.disks == ()


def test_a_lost_line_is_an_error() -> None:
    decoder = Decoder("gpu01")
    with pytest.raises(BadAnswer):
        decoder.feed(line(5, {}), NOW)
    decoder.feed(line(5, {}, full=True), NOW)
    decoder.feed(line(6, {}), NOW)
    with pytest.raises(BadAnswer, match="lost"):
        decoder.feed(line(8, {}), NOW)


# NFS


def nfs(sums: dict[str, int], at: float) -> dict[str, Any]:
    return {"at": {"mounts": at}, "mounts": {"/n": {"source": "s:/x", "type": "nfs4", "state": "ok", **sums}}}


def real_sums() -> dict[str, int]:
    text = (FIXTURES / "mounts" / "debian_nfs_mountstats.txt").read_text()
    return dict(parse_mountstats(text)["/mnt/n4"])


def test_round_trip_and_retransmits_of_the_last_interval() -> None:
    node = Node()
    sums = real_sums()
    first = node.send(nfs(sums, 10.0)).mounts[0]
    assert first.rtt_s is None
    more = {"requests": 100, "transmissions": 120, "rtt_ms": 250, "read_bytes": 2 << 20, "sent": 120, "received": 100}
    sums = {key: value + more.get(key, 0) for key, value in sums.items()}
    mount = node.send(nfs(sums, 12.0)).mounts[0]
    assert mount.rtt_s == 0.0025
    assert mount.ops_per_s == 50.0
    assert mount.retransmits_per_s == 10.0
    assert mount.read_bytes_per_s == 1 << 20
    idle = node.send(nfs(sums, 14.0)).mounts[0]
    assert idle.rtt_s is None, "no request, no round trip"
    assert idle.ops_per_s == 0.0


def test_a_slow_server_is_slow() -> None:
    watch, sums = NfsWatch(), real_sums()
    watch.advance(10.0, sums)
    watch.advance(12.0, {**sums, "requests": sums["requests"] + 10, "rtt_ms": sums["rtt_ms"] + 5000})
    assert watch.state == "slow"
    assert watch.rtt_s == 0.5


def states(readings: list[tuple[float, dict[str, int]]]) -> list[str]:
    watch, sums = NfsWatch(), real_sums()
    found = []
    for at, changes in readings:
        sums = {**sums, **{key: sums[key] + value for key, value in changes.items()}}
        watch.advance(at, sums)
        found.append(watch.state)
    return found


def test_questions_without_an_answer_hang_and_an_answer_ends_it() -> None:
    readings = [
        (0.0, {}),
        (2.0, {"sent": 3}),
        (8.0, {}),
        (13.0, {}),
        (20.0, {"sent": 1}),
        (22.0, {"received": 4}),
        (24.0, {}),
    ]
    assert states(readings) == ["ok", "ok", "ok", "hung", "hung", "ok", "ok"]


def test_a_server_that_no_connection_reaches_hangs() -> None:
    # What a real kernel showed when its server went: no question is out, only connects are tried.
    assert states([(0.0, {}), (2.0, {"connects": 1}), (12.0, {"connects": 1}), (14.0, {})])[-1] == "hung"


def test_an_idle_mount_never_hangs() -> None:
    lost = [(0.0, {}), (2.0, {"sent": 8, "received": 3, "connects": 1}), (4.0, {"sent": 5, "received": 5})]
    idle: list[tuple[float, dict[str, int]]] = [(float(at), {}) for at in range(6, 600, 30)]
    assert set(states([*lost, *idle])) == {"ok"}, "answers that were lost with a connection are no hang"


def test_a_mount_that_was_made_again_has_no_odd_rates() -> None:
    node = Node()
    node.send(nfs(real_sums(), 10.0))
    mount = node.send(nfs(dict.fromkeys(real_sums(), 1), 12.0)).mounts[0]
    assert mount.rtt_s is None
    assert mount.ops_per_s is None
    assert mount.retransmits_per_s is None


# Ill will


def plain(sample: Sample) -> None:
    """Check what every sample must hold to: it travels, and holds no control character."""
    batch = Batch(status=SourceStatus(name="x", kind="ssh", cluster="c"), records=Records(samples=(sample,)))
    assert decode_batch(encode_batch(batch)) == batch
    text = msgspec.json.encode(sample).decode()
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "\\u" not in text


HOSTILE: list[bytes] = [
    b"",
    b"garbage",
    b"{}",
    b"[]",
    b"null",
    b'{"n":1}',
    b'{"n":"1","t":1,"w":1,"p":{},"full":1}',
    b'{"n":1,"t":NaN,"w":1,"p":{},"full":1}',
    b'{"n":1,"t":1e400,"w":1,"p":{},"full":1}',
    b'{"n":1,"t":1,"w":1e300,"p":{},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":[],"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"host":5},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"host":{"cpus":"many"}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"links":{"eth0":7}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"links":{"eth0":{"kind":"carrier pigeon"}}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"at":{"network":"x"},"links":{"e":{"kind":"ethernet","rx_bytes":1}}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"at":5},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"accelerators":{"zero":{}}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"accelerators":{"0":{"ecc_corrected":1' + b"0" * 30 + b'}}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"accelerators":{"0":{"power_w":9' + b"9" * 5000 + b'}}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"accelerators":{"' + b"9" * 40 + b'":{}}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"mounts":{"/":{"source":"s","type":"nfs","requests":1}},"at":{"mounts":1}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"x":{"y":' + b'{"z":' * 3000 + b"1" + b"}" * 3000 + b'}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":' + b"[" * 200_000,
    b'{"n":1,"t":1,"w":1,"p":{"missing":{"links":"\xff\xfe"}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"missing":{"links":"\\ud800"}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"missing":{"links":"' + b"x" * (2 << 20) + b'"}},"full":1}',
    b'{"n":1,"t":1,"w":1,"p":{"missing":{"links":5}},"full":1}',
]


@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_lines_are_bad_answers(raw: bytes) -> None:
    with pytest.raises(SourceError) as caught:
        Decoder("gpu01").feed(raw, NOW)
    assert caught.value.what.isprintable()
    assert len(caught.value.what) < 300


def test_control_characters_are_cleaned_in_names_and_values() -> None:
    evil = "a\x1b[2J\x1b]52;c;aGk=\x07\u202eb\x00\x9bc"
    state = {
        "host": {"hostname": evil, "os": "x\x7fy"},
        "accelerators": {"0": {"model": evil, "processes": [{"pid": 1, "command": evil, "user": evil}]}},
        "links": {evil: {"kind": "ethernet"}},
        "mounts": {evil: {"source": evil, "type": "ext4"}},
        "missing": {"disks": evil},
    }
    sample = Decoder("gpu01").feed(line(1, state, full=True), NOW)
    plain(sample)
    assert sample.accelerators[0].processes[0].command is not None
    assert sample.accelerators[0].processes[0].command.startswith("a")
    raw = line(1, {"host": {"hostname": "RAW"}}, full=True).replace(b"RAW", b"a\x7f\xc2\x9b2Jb")
    plain(Decoder("gpu01").feed(raw, NOW))


def test_a_node_cannot_fill_the_memory() -> None:
    decoder = Decoder("gpu01")
    decoder.feed(line(1, {}, full=True), NOW)
    lines = [
        line(number, {"disks": {f"d{number}x{index}": {"model": "m" * 500} for index in range(400)}})
        for number in range(2, 80)
    ]
    assert sum(map(len, lines)) > 4 * STATE_LIMIT_BYTES
    with pytest.raises(BadAnswer, match="remembered"):
        feed_all(decoder, lines)


def feed_all(decoder: Decoder, lines: list[bytes]) -> None:
    for raw in lines:
        decoder.feed(raw, NOW)


@pytest.mark.parametrize("value", ["many", [], {"x": 1}])
def test_a_counter_that_is_no_number_is_a_bad_answer_at_the_latest_with_the_second(value: object) -> None:
    counters = {"e": {"kind": "ethernet", "rx_bytes": value}}
    lines = [
        line(1, {"at": {"network": 1}, "links": counters}, full=True),
        line(2, {"at": {"network": 2}, "links": counters}),
    ]
    with pytest.raises(BadAnswer):
        feed_all(Decoder("gpu01"), lines)


def test_unknown_sections_and_fields_are_passed_over() -> None:
    sample = Decoder("gpu01").feed(line(1, {"later": {"x": 1}, "host": {"cpus": 4, "novel": 1}}, full=True), NOW)
    assert sample.host is not None
    assert sample.host.cpus == 4


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
NAMES = st.sampled_from(
    [
        "host",
        "accelerators",
        "links",
        "disks",
        "mounts",
        "cost",
        "at",
        "missing",
        "0",
        "1",
        "eth0",
        "/",
        "kind",
        "rx_bytes",
        "network",
        "rdma",
        "errors_at",
        "requests",
        "source",
        "type",
        "power_w",
        "cpus",
        "name",
        "path",
    ]
)
PATCHES = st.dictionaries(
    NAMES,
    st.none() | st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES, max_size=4), max_size=4),
    max_size=5,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PATCHES, min_size=1, max_size=4))
def test_any_patches_are_samples_or_bad_answers(patches: list[dict[str, Any]]) -> None:
    decoder = Decoder("gpu01")
    for number, patch in enumerate(patches, 1):
        try:
            sample = decoder.feed(line(number, patch, full=number == 1), NOW)
        except SourceError:
            return
        plain(sample)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_bad_answer(raw: bytes) -> None:
    with pytest.raises(SourceError):
        Decoder("gpu01").feed(raw, NOW)
