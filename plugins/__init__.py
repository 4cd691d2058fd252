"""Backends of Quarterdeck. Each folder is one plugin; they share nothing but the contract in `console.plugin`."""
