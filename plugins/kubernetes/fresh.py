"""Fresh looks past the watches: what is acted on is asked of the server, however well the watches seem to be."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from console.errors import Denied, SourceError
from console.model import Job, Node
from plugins.kubernetes.board import Board
from plugins.kubernetes.client import Client
from plugins.kubernetes.failures import Missing
from plugins.kubernetes.jobs import JobMaker
from plugins.kubernetes.kinds import CORE, PODS, Role
from plugins.kubernetes.node import NodeMaker
from plugins.kubernetes.pods import JobKey
from plugins.kubernetes.watching import Watched, Watching

FEW = 256
"""So many nodes are asked for one by one; more cost less as whole lists."""
AT_ONCE = 8
"""Requests under way at the same time."""
_NODES, _PODS = CORE
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
"""What the server takes as a name; nothing else is put into a path."""


def key_of(job_id: str) -> JobKey | None:
    """Return what `namespace/kind/name` means; None when it is no such id."""
    parts = job_id.split("/")
    if len(parts) != 3 or not (NAME.fullmatch(parts[0]) and NAME.fullmatch(parts[2])):
        return None
    return parts[1], parts[0], parts[2]


class Looking:
    """Asks one API server how nodes and jobs are now."""

    def __init__(self, cluster: str, client: Client, board: Board, watching: Watching) -> None:
        self._cluster = cluster
        self._client = client
        self._board = board
        self._watching = watching
        self._nodes = NodeMaker(cluster, board.accelerators)

    async def nodes(self, names: Sequence[str]) -> tuple[Node, ...]:
        """Return nodes; one that is not there is left out. Raises SourceError."""
        board = self._fresh_board()
        wanted = [name for name in names if NAME.fullmatch(name)]
        unknown: str | None = None
        if len(wanted) > FEW:
            await self._watching.reader(_NODES, None, board).fetch()
            unknown = await self._pods(board, [None])
        else:
            gate = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(self._node(board, name, gate) for name in wanted))
            unknown = await self._pods(board, [name for name in wanted if name in board.nodes])
        devices = self._board.devices
        return tuple(
            self._nodes.record(
                board.nodes[name],
                board.pods_on(name),
                pods_known=unknown,
                devices=devices.on_node(name),
                claimed=devices.used_on(name),
            )
            for name in wanted
            if name in board.nodes
        )

    async def _node(self, board: Board, name: str, gate: asyncio.Semaphore) -> None:
        reader = self._watching.reader(_NODES, None, board)
        async with gate:
            try:
                reader.put(await self._client.get(f"{_NODES.path()}/{name}"))
            except Missing:
                return

    async def _pods(self, board: Board, nodes: Sequence[str | None]) -> str | None:
        """Bring the pods of nodes (None: all pods) to a board; return why they are not known."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(node: str | None) -> None:
            fields = {} if node is None else {"fieldSelector": f"spec.nodeName={node}"}
            async with gate:
                await self._watching.reader(_PODS, None, board).fetch(fields)

        try:
            await asyncio.gather(*(one(node) for node in nodes))
        except Denied as error:
            return f"you {error.what}"
        return None

    async def jobs(self, ids: Sequence[str]) -> tuple[Job, ...]:
        """Return jobs; one that is not there is left out. Raises SourceError."""
        keys = [key for text in ids if (key := key_of(text)) is not None]
        makers = {}
        for namespace in dict.fromkeys(key[1] for key in keys):
            board = await self._namespace(namespace, {key[0] for key in keys if key[1] == namespace})
            makers[namespace] = JobMaker(self._cluster, board)
        return tuple(job for key in keys if (job := makers[key[1]].record(key)) is not None)

    async def _namespace(self, namespace: str, wanted: set[str]) -> Board:
        """Return a board with all that makes up the jobs of one namespace."""
        board = self._fresh_board()
        kinds = self._watching.of_role(Role.POD, Role.WORK, Role.ADMISSION, Role.GANG)
        await asyncio.gather(*(self._kind(kind, namespace, board, wanted) for kind in kinds))
        return board

    async def _kind(self, kind: Watched, namespace: str, board: Board, wanted: set[str]) -> None:
        try:
            await self._watching.reader(kind.resource, namespace, board).fetch()
        except SourceError:
            role, short = kind.resource.wanted.role, kind.resource.wanted.short
            needed = short in wanted or short == PODS.short or role is Role.ADMISSION
            # A kind that may not be read, or is ill, costs itself only, as it does in the lists.
            if needed and kind.denied is None:
                raise

    def _fresh_board(self) -> Board:
        board = Board(self._board.accelerators)
        board.devices = self._board.devices
        return board
