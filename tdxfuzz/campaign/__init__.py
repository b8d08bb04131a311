"""Campaigns: hunts for hours or days, in a folder that survives whatever stops them.

``cycle`` gives out hunts as a :mod:`task`. ``work`` does a task: the answer depends on the task
alone, so it can be done again. ``workers`` and ``cluster`` have it done in other processes.
``coordinator`` writes the answers to the ``store`` and tells them as ``events``. Reports read the
store.
"""
