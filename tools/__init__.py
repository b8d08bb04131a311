"""What makes the generated pages in ``docs/``: ``python -m tools`` writes them."""
