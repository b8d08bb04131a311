"""How much a comparison of the model with a library has done."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from attrs import define, field

from tdxfuzz.targets.library.compare import Divergence, calls_compared, leaf_name
from tdxfuzz.targets.library.known import KnownDivergence
from tdxfuzz.targets.library.trial import Outcome, Trial


@define
class Tally:
    """What was done. Times are in seconds. ``compared`` of the ``calls`` were compared; the others
    lie behind a divergence. Of those that were, ``statuses``, by leaf, are those of both sides,
    ``told`` what guests were told. ``hidden`` counts trials that end at an old divergence, ``met``
    those in which each known one was seen.
    """

    trials: int = 0
    interleaved: int = 0
    calls: int = 0
    compared: int = 0
    interleaved_calls: int = 0
    events: int = 0
    told: int = 0
    hidden: int = 0
    model_seconds: float = 0.0
    library_seconds: float = 0.0
    interleaved_seconds: float = 0.0
    seconds: float = 0.0
    statuses: Counter[tuple[str, str]] = field(factory=Counter)
    met: Counter[KnownDivergence] = field(factory=Counter)

    def count(
        self,
        trial: Trial,
        model: Outcome,
        library: Outcome,
        first: Divergence | None,
        seconds: tuple[float, float],
    ) -> None:
        """Count a trial; ``seconds`` are those of drawing and of the library."""
        drawing, playing = seconds
        compared = calls_compared(trial, model, library, first)
        # What follows a fatal call in the programs was not made.
        calls = compared if first is None else trial.size
        self.trials += 1
        self.calls += calls
        self.compared += compared
        self.model_seconds += drawing
        self.library_seconds += playing
        if trial.programs:
            self.interleaved += 1
            self.interleaved_calls += calls
            self.events += len(model.events)
            self.interleaved_seconds += drawing + playing
        pairs = zip(trial.calls, model.results, library.results, strict=False)
        for call, one, other in islice(pairs, compared):
            if one.status == other.status:
                self.statuses[leaf_name(call), one.status.name] += 1
            self.told += len(other.told)
        if first is not None:
            return
        for (lp, i), one in model.ran.items():
            there = library.ran.get((lp, i))
            if there is not None and one.status == there.status:
                self.statuses[leaf_name(trial.programs[lp][i]), one.status.name] += 1
