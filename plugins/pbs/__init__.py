"""PBS Pro and OpenPBS: hosts, queues, reservations and jobs, read politely through its own commands."""

from plugins.pbs.plugin import PbsPlugin

plugin = PbsPlugin()
