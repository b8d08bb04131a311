"""verify against Spin: Promela models of two designs, and both timed in one run."""
