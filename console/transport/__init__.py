"""Reach a machine and run things there: this host, or one over SSH. Bytes only: no one here reads them."""
