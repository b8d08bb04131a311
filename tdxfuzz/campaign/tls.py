"""The files by which the machines of a cluster know each other."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen


@frozen
class Tls:
    """Certificates in PEM: whom to trust, and who we are. ``key`` may be in ``cert``."""

    ca_file: Path
    cert: Path
    key: Path | None = None
