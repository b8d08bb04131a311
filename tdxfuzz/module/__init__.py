"""The TDX module 1.5.25, as a model: lock by lock, check by check."""
