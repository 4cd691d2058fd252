"""Times in lines, and finding a place by one without reading a file."""

from __future__ import annotations

import time
from calendar import timegm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import NoSuchFile, UsageError
from console.logs import seek, stamps
from console.logs.stamps import DAY_S, Moment, Stamp
from console.model import LogChunk
from console.render.log import LogBuffer

NOW = float(timegm((2026, 11, 26, 12, 0, 0)))
AT = float(timegm((2026, 11, 24, 14, 2, 31)))
CLOCK = 14 * 3600 + 2 * 60 + 31.0


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("2026-11-24T14:02:31Z started", Stamp(AT)),
        ("2026-11-24T14:02:31.250+01:00 started", Stamp(AT + 0.25)),
        ("2026-11-24 14:02:31,123 - root - INFO", Stamp(AT + 0.123)),
        ("[titan] 2026-11-24 14:02:31,123 - root - INFO - step: 1", Stamp(AT + 0.123)),
        (" [2026-11-24 14:02:31] iteration 1/ 5", Stamp(AT)),
        ("[NeMo I 2026-11-24 14:02:31 nemo_logging:393] x", Stamp(AT)),
        ("2026/11/24 14:02:31 main.go:1: x", Stamp(AT)),
        ('{"level":"info","time":"2026-11-24T14:02:31Z"}', Stamp(AT)),
        ("[2026-11-24 14:02:31,001] [INFO] [engine.py:1] x", Stamp(AT + 0.001)),
        ("I1124 14:02:31.500000 123 file.cc:1] x", Stamp(AT + 0.5)),
        ("[W1124 14:02:31.5 ProcessGroupNCCL.cpp:1] x", Stamp(AT + 0.5)),
        ("Nov 24 14:02:31 gpu01 slurmd: x", Stamp(AT)),
        ("E1231 23:00:00.000000 1 x", Stamp(float(timegm((2025, 12, 31, 23, 0, 0))))),
        ("[14:02:31] x", Stamp(CLOCK, dated=False)),
        ("14:02:31.5 x", Stamp(CLOCK + 0.5, dated=False)),
        ("INFO 14:02:31 x", Stamp(CLOCK, dated=False)),
        ("step 12 of 30", None),
        (" 12%|█▏  | 1/8 [02:00:10<14:40:00,  1.00s/it]", None),
        ("2026-13-44 14:02:31", None),
        ("99:99:99 x", None),
        ("", None),
    ],
)
def test_times_of_lines(line: str, wanted: Stamp | None) -> None:
    found = stamps.read(line, NOW)
    assert found == (pytest.approx(wanted) if wanted else None)


@pytest.mark.parametrize("line", ["1764165751 x", "1764165751.5 x", "[1764165751500] x", '{"ts": 1764165751.5}'])
def test_seconds_since_1970_are_local_time(line: str) -> None:
    found = stamps.read(line)
    assert found is not None
    assert found.dated
    assert int(found.at) == 1764165751 + time.localtime(1764165751).tm_gmtoff


@given(st.text(max_size=120))
def test_no_line_hurts(text: str) -> None:
    stamps.read(text)
    stamps.read(f"2026-11-24 {text}")


def test_what_somebody_asks_for() -> None:
    assert stamps.moment("10m") == Moment(ago_s=600)
    assert stamps.moment("1d2h30s") == Moment(ago_s=DAY_S + 7230)
    assert stamps.moment("14:02") == Moment(clock_s=14 * 3600 + 120)
    assert stamps.moment("2026-11-24T14:02:31Z") == Moment(at=AT)
    assert stamps.moment("2026-11-24 14:02:31,5") == Moment(at=AT)
    assert stamps.moment("2026-11-24") == Moment(at=AT - CLOCK)
    for wrong in ("", "noon", "25:00", "14", "m", "2026-13-01"):
        with pytest.raises(UsageError):
            stamps.moment(wrong)
    last = Stamp(AT)
    assert Moment(ago_s=60).before(last) == AT - 60
    assert Moment(clock_s=CLOCK).before(last) == AT
    assert Moment(clock_s=CLOCK + 1).before(last) == AT + 1 - DAY_S, "the day before"
    with pytest.raises(UsageError, match="without a date"):
        Moment(at=AT).before(Stamp(CLOCK, dated=False))
    assert Moment(ago_s=60).epoch(NOW) == NOW - 60
    assert NOW - DAY_S < Moment(clock_s=CLOCK).epoch(NOW) <= NOW


class Made:
    """An output of any size, of which line `n` is made when it is read; counts what is asked."""

    WIDTH = 100

    def __init__(self, count: int, line: str = "%Y-%m-%d %H:%M:%S", every: int = 1) -> None:
        self.count, self.form, self.every = count, line, every
        self.reads = self.read_bytes = 0

    def line(self, at: int) -> bytes:
        text = time.strftime(self.form, time.gmtime(AT + at)) if at % self.every == 0 else "no time"
        return f"{text} step {at}".ljust(self.WIDTH - 1).encode() + b"\n"

    async def tail(self, limit_bytes: int) -> LogChunk:
        return await self.read(max(self.count * self.WIDTH - limit_bytes, 0), limit_bytes)

    async def read(self, offset: int, limit_bytes: int) -> LogChunk:
        self.reads += 1
        end = min(offset + limit_bytes, self.count * self.WIDTH)
        first = offset // self.WIDTH
        text = b"".join(self.line(at) for at in range(first, -(-end // self.WIDTH)))
        data = text[offset - first * self.WIDTH :][: max(end - offset, 0)]
        self.read_bytes += len(data)
        return LogChunk(data=data, start=offset)


@pytest.mark.parametrize("at", [0, 1, 777, 54_321_987, 99_999_999])
async def test_ten_gigabytes_are_searched_by_time_in_few_reads(at: int) -> None:
    made = Made(100_000_000)
    assert await seek.find_time(made, Moment(at=AT + at)) == at * made.WIDTH
    assert made.reads < 30
    assert made.read_bytes < 1 << 20


async def test_before_after_and_between() -> None:
    made = Made(100_000, every=7)
    assert await seek.find_time(made, Moment(at=AT - 5)) == 0
    assert await seek.find_time(made, Moment(at=AT + 1e6)) == 100_000 * made.WIDTH
    assert await seek.find_time(made, Moment(at=AT + 50_002)) == (50_002 // 7 + 1) * 7 * made.WIDTH
    last = 99_999 // 7 * 7
    assert await seek.find_time(made, Moment(ago_s=70)) == (last - 70) * made.WIDTH


async def test_times_without_a_date_go_over_midnight() -> None:
    made = Made(40_000, "[%H:%M:%S]")
    assert await seek.find_time(made, Moment(clock_s=1 * 3600.0)) == (DAY_S + 3600 - CLOCK) * made.WIDTH
    assert await seek.find_time(made, Moment(ago_s=100)) == 39_899 * made.WIDTH
    assert await seek.find_time(made, Moment(ago_s=50_000)) == 0
    assert await seek.find_time(made, Moment(clock_s=CLOCK - 600)) == 0


async def test_ranks_and_colours_before_the_time_are_passed_over() -> None:
    for form in ("3: [%H:%M:%S]", "\x1b[2m%Y-%m-%dT%H:%M:%S\x1b[0m", "[rank3]:%H:%M:%S"):
        made = Made(20_000, form)
        assert await seek.find_time(made, Moment(ago_s=1000)) == 18_999 * made.WIDTH


async def test_lines_without_times_are_said() -> None:
    with pytest.raises(NoSuchFile, match="say no time"):
        await seek.find_time(Made(1000, "hello"), Moment(ago_s=1))
    with pytest.raises(NoSuchFile):
        await seek.find_time(Made(0), Moment(ago_s=1))


def test_times_within_what_is_loaded() -> None:
    buffer = LogBuffer()
    buffer.restart(LogChunk(data=b"".join(Made(100).line(at) for at in range(100)), start=0))
    assert buffer.time(Moment(at=AT + 42)) == 42
    assert buffer.time(Moment(at=AT + 1e6)) == 100
    buffer.restart(LogChunk(data=b"no time\n", start=0))
    assert buffer.time(Moment(ago_s=1)) is None
