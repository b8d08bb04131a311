"""Other implementations of the SEAMCALL ABI to hold the model against: recordings."""
