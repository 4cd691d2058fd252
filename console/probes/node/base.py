"""What every sensor needs: files below a root, text fit for a line of JSON, and threads that may hang."""

import os
import threading
import time

STRIKES = 3
"""A counter that failed so often in a row is left alone: some devices log a message for each such read."""


class Files:
    """Reads small files below a root, which is empty on a node and a fixture tree in a test."""

    def __init__(self, root: str = "") -> None:
        self.root = root.rstrip("/")

    def path(self, path: str) -> str:
        """Return where a path of the node lies here."""
        return self.root + path

    def text(self, path: str) -> str:
        """Return a file's text, stripped at its end. Raises OSError."""
        # A bare descriptor: such files come whole in one read, and a file object costs three times as much.
        descriptor = os.open(self.root + path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while True:
                part = os.read(descriptor, 65536)
                if not part:
                    break
                parts.append(part)
        finally:
            os.close(descriptor)
        return b"".join(parts).decode("utf-8", "surrogateescape").rstrip()

    def line(self, path: str) -> "str | None":
        """Return the first line of a file, or None when it cannot be read or is empty."""
        try:
            lines = self.text(path).splitlines()
        except OSError:
            return None
        return lines[0].strip() if lines else None

    def number(self, path: str) -> "int | None":
        """Return the integer in a file, or None when there is none."""
        return integer(self.line(path))

    def names(self, path: str) -> "list[str]":
        """Return the sorted names in a directory; none when it is not there."""
        try:
            return sorted(os.listdir(self.root + path))
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        """Whether there is something at that path."""
        return os.path.exists(self.root + path)

    def target(self, path: str) -> str:
        """Return the last part of what a symbolic link points to, or an empty text."""
        try:
            return os.path.basename(os.readlink(self.root + path))
        except OSError:
            return ""


def integer(text: "str | None") -> "int | None":
    """Return the integer that a text is, or None (`N/A (no PMA)`, nothing, words)."""
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        return None


def portable(text: str) -> str:
    """Return the text with bytes that were not UTF-8 replaced, so that it can stand in JSON."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class SensorError(Exception):
    """A sensor knows in words why it has no values."""


def why(error: BaseException) -> str:
    """Return why something failed, in a few words."""
    if isinstance(error, SensorError):
        return str(error)
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, FileNotFoundError):
        return "not provided by this kernel"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "%s: %s" % (type(error).__name__, error) if str(error) else type(error).__name__


class Tool:
    """Runs a program to its end, one call at a time, each within a deadline."""

    def __init__(self, path: str, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._child = None  # type: subprocess.Popen[bytes] | None

    def run(self, arguments: "list[str]") -> "tuple[int, str]":
        """Return its exit status and what it printed on both streams. Raises OSError, SensorError when too late.

        A child that cannot be killed (it hangs in the driver) is waited for, so that there are never two.
        """
        import subprocess  # a fifth of the start of every probe; few run a tool

        child = self._child = subprocess.Popen(
            [self._path] + arguments,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            output = child.communicate(timeout=self._timeout_s)[0]
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()
            name = os.path.basename(self._path)
            raise SensorError("%s did not answer within %d s" % (name, self._timeout_s)) from None
        return child.returncode, output.decode("utf-8", "replace")

    def end(self) -> None:
        """End the call that runs, if one does."""
        child = self._child
        if child is not None:
            try:
                child.kill()
            except OSError:
                # It went by itself.
                pass


class Worker:
    """One thread that does one thing again and again, each time when asked, and may hang doing it.

    While it hangs nobody waits for it and no second thread is started for it; `value`, `error` and `at` are
    those of the last time that it came back.
    """

    def __init__(self, name: str, call: "Callable[[], object]") -> None:
        self.name = name
        self.value = None  # type: Any
        self.error = None  # type: str | None
        self.at = None  # type: float | None
        """Monotonic seconds at which the value was read."""
        self.busy_since = None  # type: float | None
        self.asked_at = None  # type: float | None
        self._call = call
        self._go = threading.Semaphore(0)
        self._idle = threading.Event()
        self._ended = False
        self._thread = None  # type: threading.Thread | None

    def ask(self, now: float, every_s: float = 0.0) -> bool:
        """Start it unless it runs, or ran less than `every_s` ago. Return whether it was started."""
        if self.busy_since is not None or (self.asked_at is not None and now - self.asked_at < every_s):
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name=self.name, daemon=True)
            self._thread.start()
        self._idle.clear()
        self.busy_since = self.asked_at = now
        self._go.release()
        return True

    def wait(self, until: float) -> bool:
        """Wait for it until that monotonic time. Return whether it is idle."""
        return self._idle.wait(max(0.0, until - time.monotonic()))

    def end(self) -> None:
        """Let the thread end once it is idle; it must not be asked again."""
        self._ended = True
        self._go.release()

    def silent_for(self, now: float) -> float:
        """Return for how many seconds it has been busy."""
        busy_since = self.busy_since
        return 0.0 if busy_since is None else now - busy_since

    def _loop(self) -> None:
        while True:
            self._go.acquire()
            if self._ended:
                return
            try:
                at = time.monotonic()
                self.value = self._call()
                self.error = None
                self.at = at
            except Exception as error:  # whatever a sensor meets costs its own values only
                self.error = why(error)
            self.busy_since = None
            self._idle.set()


TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess  # noqa: F401 - used in a type comment
    from collections.abc import Callable
    from typing import Any  # noqa: F401 - used in a type comment
