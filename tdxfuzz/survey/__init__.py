"""Designs side by side: the matrix, comparison, memory."""
