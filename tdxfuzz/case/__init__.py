"""A case: everything that determines a run, as values."""
