"""The guides: their links lead somewhere, their commands are ours, each has a diagram and says what
nobody here could run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import run_live
from streaming.schemes import OUTPUTS, check_sink

ROOT = Path(run_live.__file__).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
RUN, NOT_RUN = "✓", "○"
WORDS = {"HOST": "127.0.0.1", "PORT": "39539", "FILE.vrm": "my.vrm"}  # what a user puts in


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Where a link may lead within a page, as GitHub spells it."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def commands(page: Path) -> list[str]:
    """Every whole command line of ours that a page shows, without what stands before it."""
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"`([^`]+)`", re.sub(r"```\w*", "`", text))
    lines = [line for block in shown for line in joined(block).splitlines()]
    found = [re.search(r"run_live\.py((?: [^#|…─▶]*)?)$", line) for line in lines]
    return [match[1].strip() for match in found if match and "--help" not in match[1]]


def joined(block: str) -> str:
    """A command that is broken over two lines of text, in one."""
    return re.sub(r"\n +(?=[^ ])", " ", block) if block.count("\n") == 1 else block


def outputs(page: Path) -> list[str]:
    """Every output of the network or of a device that a page spells out."""
    text = page.read_text(encoding="utf-8")
    kinds = "|".join(scheme.word.removesuffix("://") for scheme in OUTPUTS if "://" in scheme.word)
    found = re.findall(rf"(?<![\w/])((?:{kinds})://[^\s`\"|…]*)(?![^\s`\"|])", text)
    for word, meant in WORDS.items():
        found = [spec.replace(word, meant) for spec in found]
    return sorted(set(found))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(there), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_is_one_that_the_program_takes(page: Path) -> None:
    for line in commands(page):
        run_live._parse(shlex.split(line))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_output_is_spelt_right(page: Path) -> None:
    for spec in outputs(page):
        check_sink(spec.replace("&model=my.vrm", "").replace("?model=my.vrm", ""))


def test_what_is_looked_for_is_found() -> None:
    assert len(GUIDES) >= 6
    assert sum(len(commands(page)) for page in PAGES) > 20
    assert {spec.partition(":")[0] for page in PAGES for spec in outputs(page)} == {
        "vmc", "vts", "ifm",
    }  # fmt: skip


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_each_guide_has_a_diagram_and_says_what_was_not_run(guide: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    head = text.partition("\n## ")[0]
    assert "─▶" in text.split("```")[1]
    assert f"**{RUN}** was run" in head
    assert f"**{NOT_RUN}** is" in head
    assert re.search(
        r"\w+\.(com|app|icu|github\.io)\b|page that is named", head
    )  # whose word it is
    assert text.count(NOT_RUN) > 3
    hub = (ROOT / "docs" / "on-stage.md").read_text(encoding="utf-8")
    assert f"guides/{guide.name}" in hub
