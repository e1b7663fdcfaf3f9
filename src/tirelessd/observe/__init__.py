"""Observers: metrics and logs, made from the core's events and from readings handed in.

The only place with metric names and log-event names. Nothing here decides anything.
"""
