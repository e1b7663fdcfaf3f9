"""What attempts an item: over HTTP, in Python, or not at all (echo)."""
