"""tirelessd keeps at the work it is handed until that is done, or tells why it is not.

What a handler's author imports stands here; everything else is the daemon's own.
"""

from tirelessd.core.errors import GiveUp, Retry
from tirelessd.core.item import Context, Item

__all__ = ["Context", "GiveUp", "Item", "Retry", "__version__"]

__version__ = "0.1.0"
