"""What a `[[cluster]]` table with `kind = "ray"` may say."""

from __future__ import annotations

import enum

from console.plugin import Settings

DEFAULT_URL = "http://127.0.0.1:8265"


class AddressRule(enum.StrEnum):
    """By which of its names our own probe reaches a node."""

    NONE = "none"
    """Not at all: under Slurm or Kubernetes the machine is reached by those who own it."""
    HOSTNAME = "hostname"
    """What the node calls itself."""
    IP = "ip"
    """The address under which Ray knows it."""


class RaySettings(Settings):
    """Settings of one Ray cluster; everything has a default that works on its head node."""

    url: str = DEFAULT_URL
    """Of the dashboard, as seen from `via` where that is set."""
    via: str | None = None
    """Through which host the dashboard is reached: `ssh://head`; None: directly."""
    token: str | None = None
    """Where the token lies: `env:RAY_AUTH_TOKEN`, `file:~/.ray/auth_token`; None: the dashboard asks for none."""
    ca_file: str | None = None
    """PEM file of the authority that signed the dashboard's certificate; None: those that this host trusts."""
    requests_per_minute: float | None = 30.0
    """Budget of requests to the dashboard, for everything together."""
    timeout_s: float = 15.0
    """How long the dashboard may take for one answer."""
    finished_hours: float = 24.0
    """For how long jobs that ended stay in the list."""
    address: AddressRule = AddressRule.NONE
