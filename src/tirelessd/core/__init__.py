"""Frozen values and the rules over them: no I/O, no knowledge of the layers above."""
