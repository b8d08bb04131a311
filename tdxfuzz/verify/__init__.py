"""Verify: run a case in all orders. The search, what commutes, what is left to do."""
