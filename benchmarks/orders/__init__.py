"""``python -m benchmarks.orders``: ``verify`` held against a search without any reduction."""
