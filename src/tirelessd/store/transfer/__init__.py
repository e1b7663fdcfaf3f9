"""Moving all that an embedded store holds to a shared one, so that no caller can tell."""
