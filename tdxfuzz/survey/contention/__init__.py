"""How long CPUs wait for a design's locks, in virtual time: costs, clocks, workloads, points."""
