"""What ``tdxfuzz campaign run`` was asked for, as settings."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from attrs import evolve

from tdxfuzz.campaign.settings import NamedScenario, Settings, Subject
from tdxfuzz.campaign.store import Store
from tdxfuzz.case.faults import pattern_of
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.cli.design_arg import ChosenKvm, choose_all
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.scenario_arg import choose_scenarios
from tdxfuzz.cli.variant_arg import variant_argument
from tdxfuzz.host.design_file import digest_of, split
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.module.variants import variant_file_of
from tdxfuzz.repro.write import scenario_to_toml


def on_variant(settings: Settings, variant: str) -> Settings:
    """The same on a variant of the module, and where it is from."""
    file = variant_file_of(variant)
    return evolve(
        settings,
        variant=variant,
        variant_file=variant_argument(variant),
        variant_sha256="" if file is None else file.sha256,
    )


def settings_of(
    store: Store,
    designs: tuple[str, ...],
    seed: int | None,
    asked: Settings,
    kvm: ChosenKvm | None = None,
) -> Settings:
    """The settings of a campaign: stored ones if it was started before, else new ones. Designs and
    seed come to what was ``asked`` for.

    Raises:
        UsageProblem: the campaign was started with other settings.
    """
    begun = store.settings()
    subjects = []
    raw = kvm is None and all(one.is_raw for one in asked.scenarios)
    named = designs or (*DESIGNS, *((HOSTILE,) if raw else ()))
    for argument, chosen in zip(named, choose_all(named, hostile=True, kvm=kvm), strict=True):
        user = chosen.file
        subject = Subject(chosen.name)
        if user is not None:
            path = str(split(argument)[0].absolute())
            subject = Subject(chosen.name, path, user.class_name, user.sha256)
        if kvm is not None:
            file, class_name = split(kvm.argument)
            own = f"{file.absolute()}:{class_name}"
            subject = evolve(subject, kvm=own, kvm_sha256=digest_of(file))
        subjects.append(subject)
    if seed is None:
        seed = begun.seed if begun is not None else secrets.randbelow(1 << 32)
    settings = evolve(asked, subjects=tuple(subjects), seed=seed)
    if not raw and any(subject.name == HOSTILE for subject in subjects):
        raise UsageProblem("hostile takes only a --scenario of raw SEAMCALLs; name other designs")
    if begun is None:
        store.set_meta("settings", settings.text())
        return settings
    for name, (now, before) in settings.differences(begun).items():
        raise UsageProblem(
            f"{store.path}: {TOLD_AS.get(name, name)}: this campaign was started with "
            f"{_told(before)}, not {_told(now)}; give the same designs and options, or use another "
            "folder"
        )
    return settings


TOLD_AS = {"subjects": "designs"}
"""What users call a field of the settings."""


def _told(value: object) -> str:
    """A field of the settings, for people. Two versions of a file look different."""
    if isinstance(value, tuple):
        return ", ".join(map(_told, value)) or "none"
    if isinstance(value, NamedScenario):
        text = hashlib.sha256(value.text.encode()).hexdigest()
        return f"{value.name} (version {text[:8]})" if value.text else value.name
    if not isinstance(value, Subject):
        return str(value)
    told = f"{value.argument} (version {value.sha256[:8]})" if value.file else value.argument
    return f"{told} under {value.kvm} (version {value.kvm_sha256[:8]})" if value.kvm else told


def scenarios_of(names: Sequence[str]) -> tuple[NamedScenario, ...]:
    """The scenarios of these names; none: the campaign draws its programs."""
    if not names:
        return ()
    return tuple(
        NamedScenario(
            one.name, one.world.cpus, scenario_to_toml(one) if one.file else "", one.is_raw
        )
        for one in choose_scenarios(names)
    )


def faults_of(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The same, if all of them say what can be injected."""
    for text in texts:
        try:
            pattern_of(text)
        except ValueError as error:
            raise UsageProblem(f"--faults {text}: {error}") from None
    return texts
