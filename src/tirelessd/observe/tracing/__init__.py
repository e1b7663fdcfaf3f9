"""Traces, on OpenTelemetry: imported only by a daemon that is told to trace."""
