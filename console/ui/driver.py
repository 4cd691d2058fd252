"""Textual's terminal driver, which neither a hang-up nor a stop from outside confuses."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any, TextIO, cast

from textual.drivers.linux_driver import LinuxDriver


class Output:
    """The terminal to write to. What is written when it is gone goes nowhere: whoever waits for that waits for ever."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._gone = False

    def write(self, text: str) -> int:
        """Write text; return its length."""
        if not self._gone:
            try:
                self._file.write(text)
            except OSError:
                self._gone = True
        return len(text)

    def flush(self) -> None:
        """Send what was written."""
        if not self._gone:
            try:
                self._file.flush()
            except OSError:
                self._gone = True

    def fileno(self) -> int:
        """Return its file descriptor."""
        return self._file.fileno()


class TerminalDriver(LinuxDriver):
    """Takes the terminal up once after each stop, and not at all when it is gone."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._file = cast(Any, Output(cast(TextIO, self._file)))
        loop = asyncio.get_running_loop()
        # Textual does this work inside of the signal handler, where the queue of its writer may be locked.
        loop.add_signal_handler(signal.SIGTSTP, self._sigtstp_application)
        loop.add_signal_handler(signal.SIGCONT, self._continued)

    def _continued(self) -> None:
        # The kernel sends SIGCONT with a hang-up too: then there is nothing to take up.
        if not self._auto_restart or not os.isatty(self.fileno):
            return
        if not self._must_signal_resume:
            # SIGSTOP gave nobody the time to let go of the terminal; the shell has used it meanwhile.
            self.suspend_application_mode()
            self._must_signal_resume = True
        self.resume_application_mode()
