"""The embedded store, on one SQLite file. `SqliteStore` is all that others need of it."""

from tirelessd.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
