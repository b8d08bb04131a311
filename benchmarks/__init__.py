"""How fast it is, as ratios against something measured in the same run."""
