"""What Prometheus reads at /metrics: read from the sessions when asked, nothing kept twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streaming.motionsocket import Motions
from streaming.sessions import Session, Sessions

DENIED = (401, 403, 429)  # no token, another's page, too often


class ShowCollector(Collector):
    """Shows, pictures, refusals and delays. Names carry their unit, as Prometheus asks.

    errors: answers that were errors, by HTTP status.
    """

    def __init__(self, sessions: Sessions, errors: Mapping[int, int], motions: Motions) -> None:
        self._sessions, self._errors, self._motions = sessions, errors, motions

    def collect(self) -> Iterator[Metric]:
        sessions, counts = self._sessions, self._sessions.counts
        live = [session for session in sessions.live if session.line is not None]
        frames, skipped = _frames(live)
        yield GaugeMetricFamily("cantar_sessions", "shows that run", len(sessions))
        yield GaugeMetricFamily("cantar_capacity", "shows that fit", sessions.capacity)
        counters = {
            "offers": (counts.offered, "shows begun"),
            "refusals": (counts.refused, "shows refused for want of room"),
            "resumptions": (counts.resumed, "connections resumed"),
            "failures": (counts.failed, "shows that ended with an error"),
            "denials": (self._denied(), "requests denied: origin, token, rate"),
            "motion_refusals": (self._motions.refused, "WebSockets hung up on: no place, bad data"),
            "frames": (counts.frames + frames, "pictures due"),
            "skipped_frames": (counts.skipped + skipped, "pictures left out under load"),
        }
        for name, (value, what) in counters.items():
            yield CounterMetricFamily(f"cantar_{name}", what, value)
        yield self._failures()
        yield self._delays(live)

    def _denied(self) -> int:
        return sum(self._errors.get(status, 0) for status in DENIED)

    def _failures(self) -> Metric:
        family = CounterMetricFamily(
            "cantar_errors", "requests answered with an error", labels=["status"]
        )
        for status, count in sorted(self._errors.items()):
            family.add_metric([str(status)], count)
        return family

    def _delays(self, live: list[Session]) -> Metric:
        """The worst of the shows that run now."""
        family = GaugeMetricFamily(
            "cantar_delay_seconds", "from sound to picture, worst show", labels=["quantile"]
        )
        for percent in (50, 95, 99):
            worst = max((_late(session, percent) for session in live), default=0.0)
            family.add_metric([f"{percent / 100:g}"], worst)
        return family


def _frames(live: list[Session]) -> tuple[int, int]:
    stats = [session.line.stats for session in live if session.line is not None]
    return sum(s.frames for s in stats), sum(s.skipped for s in stats)


def _late(session: Session, percent: float) -> float:
    return 0.0 if session.line is None else session.line.stats.lateness.percentile(percent) / 1000
