"""``--tls-ca-file``, ``--tls-cert`` and ``--tls-key``, named as those of `dask scheduler`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from tdxfuzz.campaign.tls import Tls
from tdxfuzz.cli.errors import UsageProblem

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def tls_options(command: Callable[..., int]) -> Callable[..., int]:
    """The three options as the argument ``tls``, None if none is given."""

    @wraps(command)
    def with_tls(
        *arguments: Any,
        tls_ca_file: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        **options: Any,
    ) -> int:
        tls = None
        if tls_ca_file is not None and tls_cert is not None:
            tls = Tls(tls_ca_file, tls_cert, tls_key)
        elif tls_ca_file or tls_cert or tls_key:
            raise UsageProblem("TLS needs --tls-ca-file and --tls-cert")
        return command(*arguments, tls=tls, **options)

    for name, about in (
        ("--tls-key", "PEM file with our private key [default: it is in --tls-cert]."),
        ("--tls-cert", "PEM file with our certificate, for a --scheduler with tls://."),
        ("--tls-ca-file", "PEM file with the certificates that the cluster's must be signed by."),
    ):
        with_tls = click.option(name, type=_FILE, help=about)(with_tls)
    return with_tls
