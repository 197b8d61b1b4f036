"""What more than one test of pages needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streaming.line import LiveConfig, ShowConfig
from streaming.webconfig import WebConfig
from tests.browser import chromium
from tests.serving import Served, serving

PATIENT = LiveConfig(margin_ms=120)  # this machine may be busy


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """One with room for two, for all tests of a module: each leaves it without a show."""
    chromium()
    with serving(ShowConfig(live=PATIENT, web=WebConfig(sessions=2, drain_s=0.0))) as served:
        yield served
