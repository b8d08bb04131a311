"""A case in, a run out: sessions, worlds put back, what a run touched."""
