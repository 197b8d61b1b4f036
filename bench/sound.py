"""A whole input as one array, for measurements that need all of it at once."""

from __future__ import annotations

import numpy as np

from engine.signals import F32
from streaming.ports import Source
from streaming.schemes import open_source


def read_sound(spec: str, seconds: float | None = None) -> F32:
    """An input of the command line (a file, `demo`), at most `seconds` of it: 48 kHz [C, n]."""
    source = open_source(spec, None, None, seconds=seconds)
    assert isinstance(source, Source)
    parts = []
    while (sound := source.read()) is not None:
        parts.append(sound.samples)
    source.close()
    return np.concatenate(parts, axis=1)
