"""The console's end of a probe over a channel that is played: hello, noise, backlog, failures, and the shell."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from console.errors import BadAnswer, ConnectionLost, SourceError, TimedOut
from console.probes import bundle, open_probe
from console.probes import probe as probe_module
from console.probes.node import nvidia_smi
from console.probes.shell import ShellProbe, ShellReader
from console.transport.base import Channel, Transport

HELLO = b"quarterdeck-probe/2 python=3.9.2 nvidia=0"
FIXTURES = Path(__file__).parent.parent / "fixtures"


class PlayedChannel:
    """A channel whose far end is a list: lines, errors to raise, and seconds to wait."""

    def __init__(self, script: Sequence[bytes | SourceError | float]) -> None:
        self.script = list(script)
        self.written: list[bytes] = []
        self.closed = False

    async def read_line(self, timeout_s: float, limit_bytes: int = 1 << 20) -> bytes:
        while self.script:
            step = self.script.pop(0)
            if isinstance(step, float):
                if step > timeout_s:
                    await asyncio.sleep(timeout_s)
                    self.script.insert(0, step - timeout_s)
                    raise TimedOut("no line in time", "gpu01")
                await asyncio.sleep(step)
                continue
            if isinstance(step, SourceError):
                raise step
            return step
        raise ConnectionLost("the program ended", "gpu01")

    async def write(self, data: bytes) -> None:
        self.written.append(data)

    async def close(self) -> None:
        self.closed = True


class PlayedTransport:
    """A machine on which every program is played."""

    name = "gpu01"

    def __init__(self, *scripts: Sequence[bytes | SourceError | float]) -> None:
        self.channels = [PlayedChannel(script) for script in scripts]
        self.opened: list[list[str]] = []

    async def open(self, argv: Sequence[str]) -> Channel:
        self.opened.append(list(argv))
        return self.channels[len(self.opened) - 1]

    async def run(self, argv: Sequence[str], **options: Any) -> Any:
        raise AssertionError("a probe runs nothing else")

    async def close(self) -> None:
        raise AssertionError("a probe does not close what is not its own")


def tick(number: int, t: float) -> bytes:
    found: dict[str, Any] = {"n": number, "t": t, "w": time.time(), "p": {"host": {"cpus": number}}}
    if number == 1:
        found["full"] = 1
    return json.dumps(found, separators=(",", ":")).encode()


async def opened(transport: Transport, **options: Any) -> Any:
    return await open_probe(transport, period_s=2.0, node="gpu01", **options)


async def test_banners_before_the_hello_and_strays_between_ticks_are_passed_over() -> None:
    noise = [b"Welcome to the cluster", b"", b"\xff\x1b[2J", b"quarterdeck-probe", b'{"n":0}']
    transport = PlayedTransport([*noise, HELLO, b"bash: stray", tick(1, 10.0)])
    probe = await opened(transport)
    sample = await probe.next(5.0)
    assert sample.host.cpus == 1
    written = transport.channels[0].written[0]
    source = zlib.decompress(written[8:]).decode()
    assert int(written[:8]) == len(written) - 8
    assert "'pynvml': " not in source, "a node without the driver does not get its bindings"
    await probe.close()
    assert transport.channels[0].written[-1] == b"quit\n"
    assert transport.channels[0].closed


async def test_a_node_with_the_driver_gets_the_bindings() -> None:
    transport = PlayedTransport([HELLO.replace(b"nvidia=0", b"nvidia=1")])
    await opened(transport)
    assert "nvmlDeviceGetCount_v2" in zlib.decompress(transport.channels[0].written[0][8:]).decode()
    assert len(transport.channels[0].written[0]) < 100_000


def test_the_command_is_one_plain_line() -> None:
    for word in bundle.remote_command(probe_module.SHELL_SCRIPT):
        assert "\n" not in word
        assert "'" not in word, "csh cannot quote it, fish reads backslashes in it"
        assert "\\" not in word
        assert "!" not in word


async def test_another_protocol_is_said() -> None:
    transport = PlayedTransport([b"quarterdeck-probe/7 python=3.9.2 nvidia=0"])
    with pytest.raises(BadAnswer, match="protocol 7"):
        await opened(transport)
    assert transport.channels[0].closed


async def test_a_flood_before_the_hello_is_an_error() -> None:
    transport = PlayedTransport([b"x" * 1000] * 100_000)
    with pytest.raises(BadAnswer, match="flood"):
        await opened(transport)
    assert transport.channels[0].closed


async def test_a_flood_between_the_ticks_is_an_error() -> None:
    probe = await opened(PlayedTransport([HELLO, *[b"x" * 1000] * 100_000]))
    with pytest.raises(BadAnswer, match="drowned"):
        await probe.next(5.0)


async def test_silence_instead_of_a_hello_is_told_with_the_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "HELLO_TIMEOUT_S", 0.1)
    transport = PlayedTransport([b"Your password \x1b[5mexpired", 60.0])
    with pytest.raises(TimedOut, match="Your password expired"):
        await opened(transport)
    assert transport.channels[0].closed


async def test_garbage_where_a_tick_should_be_is_a_bad_answer() -> None:
    probe = await opened(PlayedTransport([HELLO, b'{"n":garbage']))
    with pytest.raises(BadAnswer):
        await probe.next(5.0)


async def test_a_tick_that_does_not_come_in_time() -> None:
    probe = await opened(PlayedTransport([HELLO, 60.0]))
    with pytest.raises(TimedOut):
        await probe.next(0.05)


async def test_lines_that_lay_in_a_buffer_are_not_shown_as_new() -> None:
    ticks = [tick(number, 176.0 + 2.0 * number) for number in range(2, 13)]
    probe = await opened(PlayedTransport([HELLO, tick(1, 200.0), *ticks, 60.0]))
    first = await probe.next(5.0)
    assert first.host.cpus == 1
    # The others come at the same moment and are of up to twenty seconds before: they lay there.
    assert (await probe.next(5.0)).host.cpus == 11


async def test_the_console_says_now_and_then_that_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "KEEPALIVE_S", 0.05)
    transport = PlayedTransport([HELLO, 0.3, tick(1, 1.0)])
    probe = await opened(transport)
    await probe.next(5.0)
    assert transport.channels[0].written.count(b"here\n") >= 2


async def test_the_pace_is_sent_when_it_changes() -> None:
    transport = PlayedTransport([HELLO])
    probe = await opened(transport)
    await probe.set_period(2.0)
    await probe.set_period(10.0)
    assert transport.channels[0].written[1:] == [b"period 10\n"]


async def test_a_pause_is_said_once_and_waiting_keeps_the_probe_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "KEEPALIVE_S", 0.05)
    transport = PlayedTransport([HELLO, 60.0])
    probe = await opened(transport)
    await probe.pause(True)
    await probe.pause(True)
    with pytest.raises(TimedOut):
        await probe.next(0.3)
    await probe.pause(False)
    _, first, *here, last = transport.channels[0].written
    assert (first, last) == (b"pause\n", b"resume\n")
    assert len(here) >= 2
    assert set(here) == {b"here\n"}


# Without Python


def answer(cpu: int, *, extra: Sequence[bytes] = ()) -> list[bytes]:
    files = {
        "/proc/sys/kernel/hostname": "old01",
        "/proc/uptime": "100.0 1",
        "/proc/loadavg": "0.1 0.2 0.3 1/1 1",
        "/proc/stat": f"cpu {cpu} 0 0 100 0 0 0 0\ncpu0 {cpu} 0 0 100 0 0 0 0\nintr 1",
        "/proc/meminfo": "MemTotal: 10 kB\nMemAvailable: 5 kB",
        "/proc/net/dev": f"a\nb\neth0: {cpu} 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0",
        "/proc/diskstats": "8 0 sda 1 0 8 1 1 0 8 1 0 1 1",
        "/proc/self/mountinfo": (FIXTURES / "mounts" / "debian_nfs_mountinfo.txt").read_text(),
        "/proc/self/mountstats": (FIXTURES / "mounts" / "debian_nfs_mountstats.txt").read_text(),
    }
    lines = []
    for path, text in files.items():
        lines += [f"F {path}".encode(), *text.encode().splitlines(), b""]
    return [*lines, *extra, b"T 1795000000", b"E"]


GPU = b"G 0, GPU-1, NVIDIA A100, 00000000:07:00.0, 97, 1024, 40960, 300.5, 61"


async def test_a_node_without_python_is_read_by_its_shell() -> None:
    transport = PlayedTransport(
        [b"motd", b"quarterdeck-probe/2 shell", *answer(100), *answer(200, extra=[GPU, b"G garbage"])]
    )
    probe = await opened(transport)
    assert isinstance(probe, ShellProbe)
    first = await probe.next(5.0)
    assert first.host is not None
    assert first.host.hostname == "old01"
    assert first.host.cpu_percent is None
    assert first.host.missing["power_w"]
    assert first.missing["accelerators"] == "no nvidia-smi there"
    assert first.cost is not None
    assert first.cost.python == "none: read by sh"
    second = await probe.next(5.0)
    assert second.host is not None
    assert second.host.cpu_percent == 100.0
    assert second.accelerators[0].utilization_percent == 97.0
    assert second.accelerators[0].memory_used_bytes == 1 << 30
    for field in ("processes", "throttle", "power_limit_w", "clock_mhz", "ecc_uncorrected"):
        assert second.accelerators[0].missing[field] == "not read without Python on the node"
    assert second.cost is not None
    assert second.cost.accelerators == "nvidia-smi"
    mounts = {mount.path: mount for mount in second.mounts}
    assert mounts["/mnt/n4"].network
    assert mounts["/mnt/n4"].state == "ok"
    assert mounts["/"].total_bytes is None
    assert mounts["/"].missing["total_bytes"]
    assert [link.name for link in second.links] == ["eth0"]
    assert transport.channels[0].written == [b"first\n", b"next\n"]
    await probe.close()
    assert transport.channels[0].written[-1] == b"quit\n"


async def test_a_python_that_is_too_old_or_cannot_start_gives_way_to_the_shell() -> None:
    shell: list[bytes] = [b"quarterdeck-probe/2 shell", *answer(1)]
    failures: list[list[bytes | SourceError | float]] = [
        [b"quarterdeck-probe/2 python=3.4.10 nvidia=0"],
        [b"pyenv: python3: command not found", ConnectionLost("the program ended with 127", "gpu01")],
    ]
    for first in failures:
        transport = PlayedTransport(first, shell)
        probe = await opened(transport)
        assert (await probe.next(5.0)).host.hostname == "old01"
        assert transport.channels[0].closed
        assert transport.opened[1][:2] == ["sh", "-c"]
        await probe.close()


@pytest.mark.parametrize(
    "lines",
    [
        [
            b"F /proc/stat",
            b"cpu garbage",
            b"F /proc/net/dev",
            b"a",
            b"b",
            b"eth0: x y z 1 1 1 1 1 1 1 1 1 1 1 1 1",
            b"E",
        ],
        [b"F /proc/diskstats", b"8 0 sda x x x x x x x x x x x", b"E"],
        [b"E" * 100_000] * 100,
    ],
)
async def test_garbage_from_a_shell_is_a_bad_answer(lines: list[bytes]) -> None:
    probe = await opened(PlayedTransport([b"quarterdeck-probe/2 shell", *lines]))
    with pytest.raises(BadAnswer):
        await probe.next(5.0)


async def test_a_faster_pace_takes_effect_at_once_without_python() -> None:
    transport = PlayedTransport([b"quarterdeck-probe/2 shell", *answer(1), *answer(2), *answer(3)])
    probe = await open_probe(transport, period_s=3600.0, node="old01")
    await probe.next(5.0)
    await probe.next(5.0)
    waiting = asyncio.ensure_future(probe.next(60.0))
    await until(lambda: not waiting.done() and transport.channels[0].script != [])
    await probe.set_period(0.1)
    assert (await asyncio.wait_for(waiting, 5.0)).host is not None


async def test_without_python_a_pause_ends_the_script_and_going_on_starts_it_again() -> None:
    hello = b"quarterdeck-probe/2 shell"
    transport = PlayedTransport([hello, *answer(1), *answer(2)], [b"motd", hello, *answer(3), *answer(4)])
    probe = await open_probe(transport, period_s=3600.0, node="old01")
    await probe.next(5.0)
    await probe.next(5.0)
    waiting = asyncio.ensure_future(probe.next(60.0))
    await asyncio.sleep(0)
    await probe.pause(True)
    await until(lambda: transport.channels[0].closed)
    assert transport.channels[0].written[-1] == b"quit\n"
    assert not waiting.done()
    assert len(transport.opened) == 1, "nothing runs there"
    await probe.pause(False)
    assert (await asyncio.wait_for(waiting, 20.0)).host is not None
    assert (await probe.next(20.0)).host is not None, "rates do not wait for a whole period"
    assert transport.opened[1][:2] == ["sh", "-c"]
    await probe.pause(True)
    with pytest.raises(TimedOut):
        await probe.next(0.05)
    assert transport.channels[1].closed
    await probe.close()


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_rows_of_nvidia_smi_that_stopped_coming_are_not_shown_for_ever() -> None:
    reader = ShellReader()
    reader.gpu_line(GPU[2:].decode(), 0.0)
    assert reader.state({}, 1.0)["accelerators"]["0"]["model"] == "NVIDIA A100"
    late = reader.state({}, 100.0)
    assert "accelerators" not in late
    assert late["missing"]["accelerators"] == "nvidia-smi has fallen silent"
    assert nvidia_smi.LOOP_S < 30
