"""What is: the merged state of everything that feeds said, its recent history, and what changed."""

from console.store.changes import Changes
from console.store.store import Store
from console.store.totals import Totals
from console.store.view import JobKey, NodeView

__all__ = ["Changes", "JobKey", "NodeView", "Store", "Totals"]
