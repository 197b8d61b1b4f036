"""Settings for every test: torch on one thread, since two collapse when the cores are busy; and how
long hypothesis takes to think of an example says something of the machine, not of us."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
settings.register_profile("cantar", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cantar")
