"""Draws the pictures of the README: the console in a real terminal, on a simulated cluster whose clock stands still.

    python -m scripts.pictures [NAME…]

Each picture is the console in a pty of its own, read by a terminal emulator and drawn cell by cell, so it shows what
a user sees. With the same seed, clock and font the same picture comes out, byte for byte.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyte
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"
FONTS = Path("/usr/share/fonts/truetype/dejavu")
NOW = 1_790_000_000.0
"""2026-09-21: the moment that all pictures show."""
FONT_SIZE = 15
CELL = (9, 18)
QUIET_S = 1.5
DEADLINE_S = 60.0
DEFAULT_COLOURS = ("d8dee4", "101418")


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: its size in cells, the keys that lead to it, and a word that shows when it is there."""

    size: tuple[int, int]
    keys: tuple[str, ...] = ()
    sign: str = "gpu0"


PICTURES: Mapping[str, Picture] = MappingProxyType(
    {
        "fleet-160x48": Picture((160, 48)),
        "fleet-80x24": Picture((80, 24)),
        "heat-160x48": Picture((160, 48), ("m",)),
        "jobs-160x48": Picture((160, 48), ("2", "/name:~^sft~\r"), "JOB"),
        "node-160x48": Picture((160, 48), ("\r",)),
        "network-160x48": Picture((160, 48), ("4",), "LINK"),
        "job-120x40": Picture((120, 40), ("2", "/state:running gpus>8\r", "\r"), "tok/s"),
        "plan-100x30": Picture((100, 30), ("1", " ", " ", "dINC-4711 DIMM errors\r"), "carries it out"),
        "explain-100x30": Picture((100, 30), ("2", "/reason:QOSMax\r", "E"), "in words"),
        "log-120x30": Picture((120, 30), ("2", "/state:running gpus>8\r", "L"), "tok/s"),
    }
)


def main(arguments: list[str]) -> int:
    """Draw the pictures that are named, or all; return the exit code."""
    if arguments[:1] == ["--show"]:
        return show()
    names = arguments or list(PICTURES)
    unknown = [name for name in names if name not in PICTURES]
    if unknown:
        print(f"pictures: no picture is called {unknown[0]}; there are {', '.join(PICTURES)}", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = FOLDER / f"{name}.png"
        draw(record(PICTURES[name])).quantize(128).save(path, optimize=True)
        print(path.relative_to(ROOT))
    return 0


def show() -> int:
    """Run the console on a simulated cluster at the one moment NOW; the program inside the pty."""
    from console.config import Config, UiSettings
    from console.discover import Found, Opening
    from console.session import Session
    from console.ui.app import QuarterdeckApp
    from plugins.simulated import SimulatedSettings, plugin

    class Stopped:
        """The simulated plugin on a site whose clock stands still."""

        def __getattr__(self, name: str) -> Any:
            return getattr(plugin, name)

        def open(self, settings: Any, site: Any) -> Any:
            site.now = lambda: NOW
            return plugin.open(settings, site)

    async def find(_site: Any) -> Found:
        stopped: Any = Stopped()
        return Found([Opening("simulated", stopped, SimulatedSettings(nodes=1024, seed=7), "a picture")])

    ui = UiSettings(theme="dark")
    session = Session(Config(simulated=True, ui=ui), find=find)
    QuarterdeckApp(session, ui, clock=lambda: NOW).run()
    return 0


def record(picture: Picture) -> pyte.Screen:
    """Run the console in a pty, press the keys, and return the screen once it has come to rest."""
    columns, lines = picture.size
    screen = pyte.Screen(columns, lines)
    stream = pyte.ByteStream(screen)
    pid, master = _spawn(columns, lines)
    deadline = time.monotonic() + DEADLINE_S
    try:
        _rest(master, stream, screen, "gpu0", deadline)
        for at, key in enumerate(picture.keys, 1):
            os.write(master, key.encode())
            _rest(master, stream, screen, picture.sign if at == len(picture.keys) else "", deadline)
    finally:
        os.kill(pid, signal.SIGTERM)
        os.close(master)
        os.waitpid(pid, 0)
    return screen


def _spawn(columns: int, lines: int) -> tuple[int, int]:
    """Start this program with --show in a pty; return its process id and our end of the pty."""
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": str(ROOT),
    }
    pid, master = os.forkpty()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        os.execve(sys.executable, [sys.executable, "-m", "scripts.pictures", "--show"], environ)
    return pid, master


def _rest(master: int, stream: Any, screen: pyte.Screen, sign: str, deadline: float) -> None:
    """Feed the emulator until it shows the sign and nothing more comes for a while."""
    quiet_since = time.monotonic()
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                stream.feed(os.read(master, 1 << 16))
            except OSError:
                break  # the program ended; the screen says why
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > QUIET_S and any(sign in line for line in screen.display):
            return
    raise SystemExit(
        f"pictures: {sign!r} did not show, or the screen did not come to rest:\n" + "\n".join(screen.display)
    )


def draw(screen: pyte.Screen) -> Image.Image:
    """Return the screen as a picture."""
    width, height = CELL
    image = Image.new("RGB", (screen.columns * width, screen.lines * height), f"#{DEFAULT_COLOURS[1]}")
    pen = ImageDraw.Draw(image)
    fonts = {
        bold: ImageFont.truetype(str(FONTS / f"DejaVuSansMono{'-Bold' * bold}.ttf"), FONT_SIZE)
        for bold in (False, True)
    }
    for y in range(screen.lines):
        row = screen.buffer[y]
        for x in range(screen.columns):
            char = row[x]
            fg, bg = (_colour(char.fg, 0), _colour(char.bg, 1))
            if char.reverse:
                fg, bg = bg, fg
            left, top = x * width, y * height
            pen.rectangle((left, top, left + width - 1, top + height - 1), fill=bg)
            if not _block(pen, char.data, left, top, fg) and char.data.strip():
                pen.text((left, top), char.data, fill=fg, font=fonts[bool(char.bold)])
            if char.underscore:
                pen.line((left, top + height - 2, left + width - 1, top + height - 2), fill=fg)
    return image


def _block(pen: ImageDraw.ImageDraw, char: str, left: int, top: int, colour: str) -> bool:
    """Draw bars to the pixel, so that they join; return whether it was one."""
    width, height = CELL
    if len(char) == 1 and "▁" <= char <= "█":
        filled = round(height * (ord(char) - 0x2580) / 8)
        pen.rectangle((left, top + height - filled, left + width - 1, top + height - 1), fill=colour)
        return True
    if len(char) == 1 and "▉" <= char <= "▏":
        filled = round(width * (0x2590 - ord(char)) / 8)
        pen.rectangle((left, top, left + filled - 1, top + height - 1), fill=colour)
        return True
    return False


_ANSI = MappingProxyType(
    {
        "black": "1b1f23", "red": "e5534b", "green": "57ab5a", "brown": "c69026", "blue": "539bf5",
        "magenta": "b083f0", "cyan": "39c5cf", "white": "adbac7",
    }
)  # fmt: skip


def _colour(name: str, ground: int) -> str:
    """Return a colour of the emulator as `#rrggbb`; `ground` is 0 for text, 1 for what is behind it."""
    if name == "default":
        return f"#{DEFAULT_COLOURS[ground]}"
    return f"#{_ANSI.get(name.removeprefix('bright'), name)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
