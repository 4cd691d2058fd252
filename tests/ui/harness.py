"""A console without a cluster: a store of records, a clock that stands still, and a session that only notes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from console.actions.desk import ActionDesk
from console.actions.running import RunDesk
from console.errors import NoSuchFile, QuarterdeckError, Unreachable
from console.model import Attention, Explanation, LogChunk, LogStream
from console.store import Store
from console.ui.app import QuarterdeckApp
from console.ui.screens.fleet import FleetScreen
from console.ui.screens.listing import ListScreen
from tests.unit import render_data
from tests.unit.acting_world import desk_of, worlds_of
from tests.unit.records import listing, node

NOW = render_data.NOW


@dataclass
class Looks:
    """Settings as the configuration gives them."""

    theme: str | None = "dark"
    keymap: dict[str, str] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    ascii: bool | None = False
    refresh_s: float | None = None


class NotingDesk:
    """Answers about jobs as a test sets them; an error is raised."""

    def __init__(self) -> None:
        self.explanations: dict[tuple[str, str], Explanation | QuarterdeckError] = {}
        self.streams: tuple[LogStream, ...] = ()
        self.outputs: dict[str, Output] = {}

    def able(self, cluster: str) -> frozenset[str]:
        """What is set."""
        answers = {"explain": self.explanations, "log": self.streams}
        return frozenset(name for name, answer in answers.items() if answer)

    async def explain(self, key: tuple[str, str]) -> Explanation:
        """Answer."""
        answer = self.explanations[key]
        if isinstance(answer, QuarterdeckError):
            raise answer
        return answer

    async def log_streams(self, key: tuple[str, str]) -> tuple[LogStream, ...]:
        """Answer."""
        return self.streams

    async def open_log(self, key: tuple[str, str], stream: LogStream) -> Output:
        """Answer."""
        if stream.name not in self.outputs:
            raise NoSuchFile("there is no such file", stream.path or stream.name, "look again later")
        return self.outputs[stream.name]


class Output:
    """An output in memory; `write` is what a job does."""

    def __init__(self, data: bytes, *, seekable: bool = True) -> None:
        self.seekable = seekable
        self.closed = False
        self._data = data
        self._news: asyncio.Queue[LogChunk | None] = asyncio.Queue()

    def write(self, data: bytes) -> None:
        """Append."""
        self._news.put_nowait(LogChunk(data=data, start=len(self._data)))
        self._data += data

    def replace(self, data: bytes) -> None:
        """Truncate, and write anew."""
        self._data = data
        self._news.put_nowait(LogChunk(data=data, start=0, anew=True))

    def end(self) -> None:
        """End it."""
        self._news.put_nowait(None)

    async def tail(self, limit_bytes: int) -> LogChunk:
        """Return its end."""
        start = max(len(self._data) - limit_bytes, 0)
        return LogChunk(data=self._data[start:], start=start)

    async def read(self, offset: int, limit_bytes: int) -> LogChunk:
        """Return a part."""
        return LogChunk(data=self._data[offset : offset + limit_bytes], start=offset)

    async def follow(self, after: LogChunk) -> AsyncIterator[LogChunk]:
        """Yield what is written."""
        while (chunk := await self._news.get()) is not None:
            yield chunk

    async def close(self) -> None:
        """Note it."""
        self.closed = True


class Nowhere:
    """A machine that nobody reaches."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def stream(self, argv: Sequence[str], **rest: Any) -> int:
        """Refuse."""
        raise Unreachable("the connection was refused", self.name, "is sshd running there?")


class NotingSession:
    """A `LiveSession` that starts nothing."""

    def __init__(
        self,
        store: Store,
        *,
        simulated: bool = False,
        fails: Exception | None = None,
        actions: ActionDesk | None = None,
    ) -> None:
        self.store = store
        self.simulated = simulated
        self.notices: list[str] = []
        self.calls: list[tuple[str, Any]] = []
        self.saved: dict[str, str] = {}
        self.reported: list[tuple[BaseException, str]] = []
        self.full_disk = False
        self.desk = NotingDesk()
        acting = actions or desk_of(Path("/nonexistent"), *worlds_of(store), store=store)
        self.actions = acting
        self.runner = RunDesk(Nowhere, acting.around)
        self._fails = fails

    async def start(self) -> None:
        """Fail, if that is what it is for."""
        self.calls.append(("start", None))
        if self._fails is not None:
            raise self._fails

    async def close(self) -> None:
        """Note it."""
        self.calls.append(("close", None))

    def attend(self, attention: Attention) -> None:
        """Note it."""
        self.calls.append(("attend", attention))

    def pause(self, paused: bool) -> None:
        """Note it."""
        self.calls.append(("pause", paused))

    def set_refresh(self, period_s: float | None) -> None:
        """Note it."""
        self.calls.append(("refresh", period_s))

    def look_again(self, clusters: Collection[str]) -> None:
        """Note it."""
        self.calls.append(("look again", clusters))

    async def settle(self, timeout_s: float) -> None:
        """Note it."""
        self.calls.append(("settle", timeout_s))

    def save(self, name: str, text: str) -> str:
        """Keep it, unless the disk is full."""
        if self.full_disk:
            raise OSError(28, "No space left on device")
        self.saved[name] = text
        return f"/here/{name}"

    def report(self, error: BaseException, where: str) -> str:
        """Keep it, and say so."""
        self.reported.append((error, where))
        self.notices.append(f"unforeseen {type(error).__name__} in {where}: see /state/crash.txt")
        return "/state/crash.txt"

    @property
    def attention(self) -> Attention:
        """What was said last."""
        return next((value for name, value in reversed(self.calls) if name == "attend"), Attention())


class Console(QuarterdeckApp):
    """The console over a NotingSession; `lines` is what a person sees."""

    session: NotingSession

    def __init__(
        self,
        store: Store | None = None,
        looks: Looks | None = None,
        screen: str = "fleet",
        theme_dir: Path | None = None,
        session: NotingSession | None = None,
        filter_text: str = "",
    ) -> None:
        self.at = NOW
        made = session or NotingSession(render_data.lab() if store is None else store)
        super().__init__(made, looks or Looks(), screen, theme_dir, clock=lambda: self.at, filter_text=filter_text)

    @property
    def lines(self) -> list[str]:
        """The lines on screen as text."""
        width, height = self.size
        update = self.screen._compositor.render_strips()
        return [strip.text.ljust(width) for strip in update][:height]

    @property
    def text(self) -> str:
        """The whole screen as text."""
        return "\n".join(line.rstrip() for line in self.lines)

    @property
    def table_screen(self) -> ListScreen:
        """The table on top."""
        assert isinstance(self.base, ListScreen)
        return self.base

    @property
    def fleet(self) -> FleetScreen:
        """The Fleet screen on top."""
        assert isinstance(self.base, FleetScreen)
        return self.base


async def settle(pilot: Pilot[int], app: Console) -> None:
    """Wait until rows are sorted and drawn."""
    await pilot.pause()
    for _ in range(400):
        if app.typeahead.busy:
            await pilot.pause(0.005)
            continue
        app.tick()
        screen = app.base
        if not (isinstance(screen, ListScreen) and screen.is_mounted and screen.model.busy):
            break
        await pilot.pause(0.005)
    await pilot.pause()


@asynccontextmanager
async def running(app: Console, size: tuple[int, int] = (100, 30)) -> AsyncIterator[Pilot[int]]:
    """Run the console without a terminal."""
    async with app.run_test(size=size) as pilot:
        await settle(pilot, app)
        yield pilot


async def press(pilot: Pilot[int], app: Console, *keys: str) -> None:
    """Press keys one after the other, each drawn before the next."""
    for key in keys:
        await pilot.press(key)
        await settle(pilot, app)


def many(count: int, source: str = "slurm:big/nodes") -> Store:
    """A store of `count` nodes n0001…"""
    store = Store()
    store.apply(listing(source, *(node(f"n{number:04}", cpus=number) for number in range(1, count + 1))))
    return store
