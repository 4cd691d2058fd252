"""This machine as a cluster of one."""

from plugins.local.backend import LocalPlugin

plugin = LocalPlugin()

__all__ = ["plugin"]
