"""The shrinker: the smallest case that shows the same bug."""
