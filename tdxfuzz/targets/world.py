"""The machine that a recording was made on, and the model in the state where it starts.

A ``config`` object describes one of two: a module that is up (section 1 of
``corpus/conformance/README.md``), or one at reset (``corpus/conformance/third/README.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from tdxfuzz.abi import KeyIdBits
from tdxfuzz.abi.address import MAX_PA, SIZE_4K
from tdxfuzz.module.call import LogicalProcessor
from tdxfuzz.module.memory import Memory, RawPage
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.tdmr import TdmrInfo
from tdxfuzz.module.tdmr_config import MAX_CMRS
from tdxfuzz.sim import Simulator
from tdxfuzz.targets.json_values import bytes_of, hex_of, mapping, number, sequence

PROCESSORS = 8
"""The most logical processors that a recording has, and the number of a module that is up."""
TSC_AT_START = 1_000_000
_MAX_HKID = 0xFFFF
_MAX_PACKAGES = 64
_MAX_SUB_BLOCKS = 1 << 16

Piece = tuple[int, bytes]
"""An address, and the bytes that memory has from there on."""


@frozen
class ModelUnderTest:
    """A model under test: its simulator, and its logical processors."""

    sim: Simulator
    module: TdxModule
    lps: list[LogicalProcessor]

    def set_tsc(self, ticks: int) -> None:
        """All time-stamp counters stand at this value from now on."""
        for lp in self.lps:
            lp.tsc = ticks


@frozen
class Booted:
    """A module that is up, with its TDMRs; ``params`` are TD_PARAMS pages by address."""

    tdmrs: tuple[TdmrInfo, ...]
    dynamic_pamt: bool
    params: tuple[Piece, ...]

    @property
    def processors(self) -> int:
        """How many logical processors there are."""
        return PROCESSORS

    def build(self, cpus: int = 1) -> ModelUnderTest:
        """A model in the state the recording starts from."""
        sim = Simulator(cpus)
        memory = Memory()
        for hpa, content in self.params:
            memory.put(RawPage(hpa, content))
        module = TdxModule(sim, self.tdmrs, self.dynamic_pamt, memory=memory)
        bench = ModelUnderTest(sim, module, [LogicalProcessor(i) for i in range(PROCESSORS)])
        bench.set_tsc(TSC_AT_START)
        return bench


@frozen
class AtReset:
    """A module before SYS.INIT. ``packages``: the package of each logical processor."""

    platform: Platform
    packages: tuple[int, ...]
    memory: tuple[Piece, ...]

    @property
    def processors(self) -> int:
        """How many logical processors there are."""
        return len(self.packages)

    def build(self, cpus: int = 1) -> ModelUnderTest:
        """A model in the state the recording starts from."""
        sim = Simulator(cpus)
        memory = Memory()
        for hpa, content in self.memory:
            for start, part in within_pages(hpa, content):
                memory.write(start, part)
        module = TdxModule.at_reset(sim, self.platform, memory, num_lps=self.processors)
        lps = [LogicalProcessor(i, package) for i, package in enumerate(self.packages)]
        bench = ModelUnderTest(sim, module, lps)
        bench.set_tsc(TSC_AT_START)
        return bench


World = Booted | AtReset


def within_pages(hpa: int, content: bytes) -> Iterator[Piece]:
    """The same bytes, cut where a 4KB page ends."""
    while content:
        room = SIZE_4K - hpa % SIZE_4K
        yield hpa, content[:room]
        hpa, content = hpa + room, content[room:]


def world_of(data: Mapping[str, object], params: Mapping[str, bytes]) -> World:
    """A ``config`` object; ``params`` are the TD_PARAMS pages it may name."""
    return _at_reset(data) if "lps" in data else _booted(data, params)


def refuse_missing(world: World, cpus: Iterable[int]) -> None:
    """A recording may use the logical processors that its world has.

    Raises:
        ValueError: one of these it has not.
    """
    for cpu in cpus:
        if cpu >= world.processors:
            raise ValueError(f"a CPU must be 0..{world.processors - 1} here, not {cpu}")


def pieces_of(data: object) -> tuple[Piece, ...]:
    """A list of ``[address, bytes as hex]``."""
    pairs = (sequence(item) for item in sequence(data))
    return tuple((_address(hpa), bytes_of(content)) for hpa, content in pairs)


def _address(value: object) -> int:
    return number(hex_of(value), "address", 0, (1 << MAX_PA) - 1)


def _booted(data: Mapping[str, object], params: Mapping[str, bytes]) -> Booted:
    memory = [sequence(item) for item in sequence(data["memory"])]
    return Booted(
        tdmrs=tuple(_tdmr(mapping(item)) for item in sequence(data["tdmrs"])),
        dynamic_pamt=bool(data["dynamic_pamt"]),
        params=tuple((hex_of(hpa), params[str(key)]) for hpa, key in memory),
    )


def _tdmr(data: Mapping[str, object]) -> TdmrInfo:
    reserved = [sequence(item) for item in sequence(data["reserved"])]
    return TdmrInfo(
        base=hex_of(data["base"]),
        size=hex_of(data["size"]),
        reserved=tuple((hex_of(base), hex_of(size)) for base, size in reserved),
        initialized=hex_of(data["initialized"]) if "initialized" in data else None,
    )


def _at_reset(data: Mapping[str, object]) -> AtReset:
    lps = number(data["lps"], "lps", 1, PROCESSORS)
    packages = tuple(
        number(item, "package", 0, _MAX_PACKAGES - 1) for item in sequence(data["packages"])
    )
    if len(packages) != lps:
        raise ValueError(f"'packages' must be {lps} numbers, one for each LP, not {len(packages)}")
    max_pa = number(data["maxpa"], "maxpa", 36, MAX_PA)
    high, low = sequence(data["hkid_bits"])
    start = number(low, "hkid_bits", 1, max_pa - 1)
    width = number(high, "hkid_bits", start, max_pa - 1) - start + 1
    first, last = sequence(data["private_hkids"])
    cmrs = [sequence(item) for item in sequence(data["cmrs"])]
    if len(cmrs) > MAX_CMRS:
        raise ValueError(f"'cmrs' must be at most {MAX_CMRS}, not {len(cmrs)}")
    platform = Platform(
        max_pa=max_pa,
        key_bits=KeyIdBits(start, width),
        private_hkid_min=number(first, "private_hkids", 1, _MAX_HKID),
        private_hkid_max=number(last, "private_hkids", 1, _MAX_HKID),
        packages=max(packages) + 1,
        cache_sub_blocks=number(data["cache_sub_blocks"], "cache_sub_blocks", 1, _MAX_SUB_BLOCKS),
        cmrs=tuple((hex_of(base), hex_of(size)) for base, size in cmrs),
    )
    return AtReset(platform, packages, pieces_of(data["memory"]))
