"""Reach a machine and run things there: this host, or one over SSH. Bytes only; nobody here knows what they mean."""
