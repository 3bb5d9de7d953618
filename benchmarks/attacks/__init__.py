"""The catalogue of attacks, one a file: what an attacker does to one window of a stream.

>>> sorted(catalogue())[:2]
['balanced_flips', 'boiling_frog']

A module has ``STRENGTHS`` (what is tried), ``TRIGGER`` where it plants a backdoor, a docstring that
names its source, and ``apply(rows, strength, rng, scene)``: the window's rows with ``_label`` in,
the rows as the attacker delivers them out. Attacks know the stream only by its definition, so each
runs on any stream.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def catalogue() -> dict[str, ModuleType]:
    """Name to module, every attack of this package."""
    found = [m.name for m in pkgutil.iter_modules(__path__) if m.name != "scene"]
    return {name: importlib.import_module(f"{__name__}.{name}") for name in sorted(found)}
