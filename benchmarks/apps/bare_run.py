"""A bare asyncssh loop: `bare_run.py SSH_CONFIG COMMAND` runs it on every host of a fleet's configuration at once.

It reads keys and known hosts once and does nothing else: what any program over asyncssh must at least do.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import asyncssh


async def one(address: str, line: str, options: dict[str, Any]) -> int:
    """Run it on one host and return its exit status."""
    async with asyncssh.connect(address, config=None, agent_path=None, **options) as connection:
        done = await connection.run(line)
        return done.exit_status or 0


async def main(text: str, line: str) -> None:
    """Run it everywhere and say how often it was done."""
    options = {
        "port": int(re.findall(r"Port (\d+)", text)[0]),
        "username": re.findall(r"User (\S+)", text)[0],
        "client_keys": [asyncssh.read_private_key(re.findall(r"IdentityFile (\S+)", text)[0])],
        "known_hosts": asyncssh.read_known_hosts(re.findall(r"UserKnownHostsFile (\S+)", text)[0]),
    }
    addresses = re.findall(r"HostName (\S+)", text)
    done = await asyncio.gather(*(one(address, line, options) for address in addresses))
    print(done.count(0))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_text(), sys.argv[2]))
