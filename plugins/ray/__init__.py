"""Ray: nodes, jobs and their output, read politely from the dashboard over HTTP."""

from plugins.ray.plugin import RayPlugin

plugin = RayPlugin()
