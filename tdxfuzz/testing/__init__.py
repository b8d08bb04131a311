"""For tests: Hypothesis strategies, state machines, assertions, a pytest plugin."""
