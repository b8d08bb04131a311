"""Variants of the module from a file that the user names: code by intent, so it is executed."""

from __future__ import annotations

from pathlib import Path

from tdxfuzz.host.design_file import DesignFileError, digest_of, module_in
from tdxfuzz.module.variants import Variant, VariantFile, add_variant


def load_variant(path: Path, name: str = "") -> VariantFile:
    """Make a variant known to this process: the one of a name, or the only one that the file has.

    Returns:
        Where it is from. Cases name it by ``name`` there.

    Raises:
        DesignFileError: there is no such file or variant, the file raised, or a built-in variant
            has this name.
    """
    things = vars(module_in(path, "variant"))
    variants = {each: thing for each, thing in things.items() if isinstance(thing, Variant)}
    if not name and len(variants) == 1:
        name = next(iter(variants))
    if name not in variants:
        have = ", ".join(variants) or "no tdxfuzz.module.variants.Variant"
        problem = f"no variant {name!r}" if name else "name a variant (FILE.py:NAME)"
        raise DesignFileError(f"{path}: {problem}; it has: {have}")
    file = VariantFile(path.name, name, digest_of(path))
    try:
        add_variant(variants[name], file)
    except ValueError as error:
        raise DesignFileError(f"{path}: {error}") from None
    return file
