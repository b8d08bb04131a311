"""Where cases come from: programs, hostile calls, mutation, bytes to cases and back."""
