"""Slurm: nodes, partitions, reservations and jobs, read politely through its own commands."""

from plugins.slurm.plugin import SlurmPlugin

plugin = SlurmPlugin()
