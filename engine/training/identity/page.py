"""The progress page: one file that a browser opens and that refreshes itself until all is done."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.training.loop import read_log

PAGE, SHEET = "progress.html", "sheet.png"
REFRESH = 5  # seconds
WIDE, TALL = 560, 120  # pixels of a curve
TERMS = {"score": "1 − SSIM on pictures never trained on", "photo": "difference in training"}

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:760px;margin:2rem auto;padding:0 1rem;
background:#14161c;color:#e8e6e1}h1{font-weight:600;margin:0}p{color:#a9a7a2}
ol{list-style:none;padding:0}li{margin:.5rem 0;color:#77757f}li.done{color:#8fd3a8}
li.now{color:#fff;font-weight:600}.bar{background:#2a2d36;border-radius:5px;height:10px}
.bar i{display:block;height:10px;border-radius:5px;background:#7db4ff}
svg{background:#1c1f27;border-radius:6px;width:100%}polyline{fill:none;stroke:#7db4ff;
stroke-width:2}img{width:100%;border-radius:6px}.wrong{color:#ff9a8a}
"""


@dataclass
class Page:
    """folder: of the work. title: whose. stages: what each does, in order. now: which one runs, its
    number; as many as there are when all is done. share: of it that is done, 0 … 1."""

    folder: Path
    title: str
    stages: Sequence[str]
    run: Path
    now: int = 0
    share: float = 0.0
    note: str = ""
    wrong: str = field(default="")

    def tell(self, share: float, note: str = "") -> None:
        """Write the page anew, whole or not at all."""
        self.share, self.note = min(max(share, 0.0), 1.0), note
        partial = self.folder / f"{PAGE}.partial"
        partial.write_text(self._text(), encoding="utf-8")
        os.replace(partial, self.folder / PAGE)

    def _text(self) -> str:
        over = self.now >= len(self.stages) or bool(self.wrong)
        again = "" if over else f'<meta http-equiv="refresh" content="{REFRESH}">'
        said = f'<p class="wrong">{html.escape(self.wrong)}</p>' if self.wrong else ""
        sheet = self.folder / SHEET
        newest = sheet.stat().st_mtime_ns if sheet.exists() else 0  # no older one from the cache
        picture = f"<h3>guidance | ours | truth</h3><img src='{SHEET}?{newest}' alt='sheet'>"
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8">{again}'
            f"<title>{html.escape(self.title)}</title><style>{STYLE}</style>"
            f"<h1>{html.escape(self.title)}</h1>{said}<ol>{self._list()}</ol>{self._curves()}"
            f"{picture if newest else ''}</html>\n"
        )

    def _list(self) -> str:
        rows = []
        for number, stage in enumerate(self.stages):
            kind = "done" if number < self.now else "now" if number == self.now else ""
            row = f'<li class="{kind}">{html.escape(stage)}'
            if number == self.now:
                row += f" {html.escape(self.note)}"
                row += f'<div class="bar"><i style="width:{100 * self.share:.1f}%"></i></div>'
            rows.append(row + "</li>")
        return "".join(rows)

    def _curves(self) -> str:
        lines = read_log(self.run)
        drawn = []
        for term, meaning in TERMS.items():
            points = [(line["step"], line[term]) for line in lines if term in line]
            if len(points) > 1:
                drawn.append(f"<h3>{meaning}: {points[-1][1]:.4f}</h3>{_curve(points)}")
        return "".join(drawn)


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """An SVG line; from the least to the largest value."""
    last, values = points[-1][0], [value for _, value in points]
    low, high = min(values), max(values)
    room = max(high - low, 1e-9)
    places = " ".join(
        f"{WIDE * step / last:.1f},{8 + (TALL - 16) * (high - value) / room:.1f}"
        for step, value in points
    )
    return f'<svg viewBox="0 0 {WIDE} {TALL}"><polyline points="{places}"/></svg>'
