"""Reach a machine and run things there: this host, or one over SSH. Or ask a service over HTTP. Bytes only: no one here reads them."""
