"""Settings for every test: torch on one thread, since two collapse when the cores are busy."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)
