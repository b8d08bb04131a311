"""What things cost in virtual time: a file of constants, each with where it comes from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from random import Random

from attrs import frozen

from tdxfuzz.sim import HarnessError

KNOWN = ("published", "assumed", "fitted")


class CostsError(HarnessError):
    """A file of costs cannot be used."""


@frozen
class Cost:
    """A constant in nanoseconds; where ``most`` is more, it varies from ``least`` to ``most``."""

    ns: float
    known: str
    source: str
    least: float = 0.0
    most: float = 0.0

    def draw(self, rng: Random) -> float:
        """One sample: most are short, few are long, and their mean is ``ns``."""
        if self.most <= self.ns:
            return self.ns
        return min(self.least + rng.expovariate(1 / (self.ns - self.least)), self.most)


Costs = Mapping[str, Cost]


def read_costs(path: Path | None = None) -> Costs:
    """The constants by name: ours, and in their place those of a file.

    Raises:
        CostsError: the file is no TOML, or names something else.
        OSError: it cannot be read.
    """
    own = files(__package__).joinpath("costs.toml").read_text(encoding="utf-8")
    costs = {name: Cost(**table) for name, table in tomllib.loads(own).items()}
    if path is None:
        return costs
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CostsError(f"{path}: not valid TOML: {error}") from None
    for name, table in given.items():
        costs[name] = _cost(path, name, table, costs)
    return costs


def _cost(path: Path, name: str, table: object, known: Costs) -> Cost:
    if name not in known:
        raise CostsError(f"{path}: unknown cost {name!r}; known: {', '.join(known)}")
    if not isinstance(table, dict) or not set(table) <= {"ns", "least", "most", "known", "source"}:
        raise CostsError(f"{path}: [{name}] must be a table of ns, least, most, known and source")
    for field in ("ns", "least", "most"):
        value = table.get(field, 0)
        if type(value) not in (int, float) or not 0 <= value < 1e12:
            raise CostsError(f"{path}: [{name}] {field} must be a number of ns, not {value!r}")
    if "ns" not in table:
        raise CostsError(f"{path}: [{name}] ns is missing")
    if table.get("known", "assumed") not in KNOWN:
        raise CostsError(f"{path}: [{name}] known must be one of {', '.join(KNOWN)}")
    return Cost(
        float(table["ns"]),
        table.get("known", "assumed"),
        str(table.get("source", path.name)),
        float(table.get("least", 0)),
        float(table.get("most", 0)),
    )
