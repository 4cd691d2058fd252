"""Quarterdeck: the terminal console of an AI training cluster."""

__version__ = "0.1.0"
