"""Machines that are listed by hand and reached over SSH."""

from plugins.hosts.backend import HostsPlugin

plugin = HostsPlugin()

__all__ = ["plugin"]
