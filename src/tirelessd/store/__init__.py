"""Where items are kept: one contract (`base`), and the stores that fulfil it."""
