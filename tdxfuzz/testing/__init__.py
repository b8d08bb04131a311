"""What tests import: Hypothesis strategies, state machines, assertions, a pytest plugin."""
