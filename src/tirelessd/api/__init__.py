"""The HTTP edge: intake and read API on one listener, metrics and probes on another."""
