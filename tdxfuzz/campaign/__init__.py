"""Campaigns: hunts for hours or days, in a folder that survives whatever stops them.

``plan`` says what comes next as a :mod:`task`, ``work`` does it (a pure function, so it can be
done again), ``workers`` and ``cluster`` have it done elsewhere, ``coordinator`` writes what came
of it to the ``store`` and tells it as ``events``; reports read the store.
"""
