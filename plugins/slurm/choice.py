"""Which of the ways is taken, and why not the others."""

from __future__ import annotations

import importlib.util

from console.errors import ConfigError, Denied, SourceError, Unsupported
from console.plugin import Check, CheckState, Site
from console.text import clean
from plugins.slurm.by_commands import ByCommands
from plugins.slurm.client import Client
from plugins.slurm.jobs import JobReader
from plugins.slurm.nodes import NodeReader
from plugins.slurm.settings import SlurmSettings, WayName
from plugins.slurm.ways import Further, Way

_LOOK_S = 10.0
_CHEAPEST = "squeue and scontrol are here and cost less"
_WORDS = {
    WayName.COMMANDS: "squeue, scontrol and sdiag",
    WayName.REST: "slurmrestd",
    WayName.PYSLURM: "pyslurm",
}
_FURTHER = {
    WayName.REST: ("slurmrestd", "rest names none; squeue and scontrol tell the same for less"),
    WayName.PYSLURM: ("pyslurm", "pyslurm names no Python that has it; squeue and scontrol tell the same for as much"),
}
"""Subject of the doctor's line, and what it says of a way that is not set up."""


class Choice:
    """The ways to one cluster's records. One that is named in the settings is never replaced by another."""

    def __init__(self, settings: SlurmSettings, site: Site, client: Client, nodes: NodeReader, jobs: JobReader) -> None:
        """ConfigError when the settings cannot work. Does no I/O."""
        self._settings = settings
        self._client = client
        self.commands = ByCommands(client, nodes, jobs, settings.via)
        self.further: dict[WayName, Further] = {}
        """What could be taken instead, the better first."""
        if settings.rest is not None:
            from plugins.slurm.by_rest import ByRest

            self.further[WayName.REST] = ByRest(settings, site, client, nodes, jobs)
        elif settings.way is WayName.REST:
            hint = 'rest = "unix:/run/slurmrestd/slurmrestd.socket", or "http://slurm1:6820"'
            raise ConfigError('way = "rest" needs to know where slurmrestd is', site.cluster, hint)
        if settings.way == WayName.PYSLURM or settings.pyslurm is not None:
            from plugins.slurm.by_pyslurm import ByPyslurm

            self.further[WayName.PYSLURM] = ByPyslurm(settings, client, nodes, jobs)
        self.name = settings.way
        """Of the way that is taken; AUTO until that is known."""
        if not self.further and settings.way is WayName.AUTO:
            self.name = WayName.COMMANDS
        self.taken: Way = self.further.get(self.name, self.commands)

    async def settle(self) -> Way:
        """Return the way that is taken, after a look whether the commands are there. Raises SourceError."""
        if self.name is WayName.AUTO:
            self.name = WayName.COMMANDS if await self._commands_are_here() else next(iter(self.further))
            self.taken = self.further.get(self.name, self.commands)
        return self.taken

    async def close(self) -> None:
        """Let go of everything. Never raises."""
        for way in self.further.values():
            await way.close()

    async def _commands_are_here(self) -> bool:
        try:
            done = await self._client.transport.run(self._client.commands.version("squeue"), timeout_s=_LOOK_S)
        except Unsupported:
            return False
        return done.exit_status not in (126, 127)

    # ---- for `qd doctor`

    async def checks(self, commands_work: bool) -> list[Check]:
        """Say of each way whether it works, and why it is taken or not. Raises nothing."""
        try:
            await self.settle()
        except SourceError as error:
            return [Check(subject="way", state=CheckState.FAILED, detail=str(error), remedy=error.hint)]
        checks = [Check(subject="way", state=CheckState.OK, detail=self._why(commands_work))]
        for name, (subject, set_up) in _FURTHER.items():
            way = self.further.get(name)
            if way is None:
                if name is WayName.PYSLURM and importlib.util.find_spec("pyslurm") is not None:
                    set_up = f'installed here; not taken: {self._why_not()}, way = "pyslurm" takes it'
                checks.append(Check(subject=subject, state=CheckState.ABSENT, detail=set_up))
                continue
            try:
                detail = await way.try_it()
            except SourceError as error:
                state = CheckState.DENIED if isinstance(error, Denied) else CheckState.FAILED
                if name != self.name:
                    state = CheckState.WARNING
                checks.append(Check(subject=subject, state=state, detail=str(error), remedy=error.hint))
            else:
                if name != self.name:
                    detail += f'; not taken: {self._why_not()}, way = "{name}" takes it'
                checks.append(Check(subject=subject, state=CheckState.OK, detail=detail))
        return checks

    def _why_not(self) -> str:
        if self._settings.way != WayName.AUTO:
            return f'the settings say way = "{self.name}"'
        return _CHEAPEST if self.name == WayName.COMMANDS else f"{_WORDS[self.name]} comes first"

    def _why(self, commands_work: bool) -> str:
        if self._settings.way != WayName.AUTO:
            return f'records come by {_WORDS[self.name]}: the settings say way = "{self.name}"'
        if self.name == WayName.COMMANDS:
            return f"records come by {_WORDS[self.name]}: {'they cost least' if commands_work else 'there is no other'}"
        return f"records come by {_WORDS[self.name]}: there is no squeue at {clean(self._client.where)}"
