"""Quarterdeck: the terminal console of an AI training cluster."""
