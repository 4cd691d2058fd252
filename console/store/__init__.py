"""What is: the merged state of everything that feeds said, its recent history, and what changed."""

from console.store.changes import Changes
from console.store.store import NodeView, Store

__all__ = ["Changes", "NodeView", "Store"]
