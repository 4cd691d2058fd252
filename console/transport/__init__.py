"""Reach a machine, this host or one over SSH, and ask services over HTTP. Bytes only: no one here reads them."""
