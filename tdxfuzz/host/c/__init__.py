"""Layers in C: the kernel's own functions, compiled, loaded, and run under the simulator.

``build.py`` compiles, ``image.py`` knows what is loaded, ``memory.py`` whose memory it holds,
``layer.py`` is the design, and ``drive.py`` does what its code asks for. ``runtime/`` is the other
side, in C; ``include/`` has the headers that stand in for the kernel's.
"""
