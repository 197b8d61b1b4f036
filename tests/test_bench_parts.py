"""Every part of the bench in miniature: its numbers are possible, and a slowed stage is seen."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import bench.__main__ as command
from bench import latency, load, page, promises, scale, stages, syllables
from bench.batches import NETWORKS
from bench.compare import Ratio, agreement, compare
from bench.figures import Part, Plan, Table, Timing, part_from_json, part_to_json, timing
from bench.report import BEGIN, END, headline, markdown
from bench.soak import REAL, SHOW, SIMULATED
from engine.avatar import AvatarConfig
from engine.hearing.separator import Separator
from engine.timeline import FRAME_RATE
from streaming.line import LiveConfig

SECONDS = 1.0
LIMIT = 0.5  # of a regression, among noisy neighbours
SLOWED = 10  # times as long


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results: every part but those that `test_the_longer_parts` makes."""
    folder = tmp_path_factory.mktemp("bench")
    assert command.main([*EVERYDAY, "--seconds", str(SECONDS), "--out", str(folder)]) == 0
    return folder


EVERYDAY = ("latency", "load", "soak", "gpu")
LONGER = ("stages", "scale", "quality", "peers")


@pytest.fixture(scope="module")
def parts(out: Path) -> dict[str, Part]:
    return command.parts_of(command.read(out / "results.json"))


def check_possible(parts: dict[str, Part]) -> None:
    """No figure that cannot be: of time, of counts, of shares."""
    for name, part in parts.items():
        for what, found in part.timings.items():
            assert found.count > 0, (name, what)
            assert 0 <= found.p50 <= found.p95 <= found.p99 <= found.max, (name, what)
            assert found.cpu is None or found.cpu >= 0, (name, what)
            assert 0 < len(found.blocks) <= found.count, (name, what)
        for title, table in part.tables.items():
            for row in table.rows:
                assert len(row) == len(table.columns), (name, title, row)
                for column, cell in zip(table.columns, row, strict=True):
                    check_cell(f"{row[0]} {column}", cell)


def check_cell(what: str, cell: object) -> None:
    if isinstance(cell, float):
        assert math.isfinite(cell), what
    if isinstance(cell, (int, float)) and "share" in what and "growth" not in what:
        assert 0 <= cell <= 1, what
    if isinstance(cell, (int, float)) and "pictures a second" in what:
        assert 0 <= cell <= FRAME_RATE + 0.01, what


def test_the_figures_of_every_part_are_possible(parts: dict[str, Part]) -> None:
    assert tuple(parts) == tuple(name for name in command.PARTS if name in EVERYDAY)
    check_possible(parts)
    for name, part in parts.items():
        assert part.timings or part.tables or part.notes, name


def test_no_mouth_opens_before_its_sound_and_all_frames_come_out(parts: dict[str, Part]) -> None:
    """Lateness cannot be less than what a frame waits for; nothing but the sum is computed."""
    live = parts["latency"].tables[latency.LIVE]
    for lookahead in live.columns[1:]:
        found = {row[0]: live.cell(row[0], lookahead) for row in live.rows}
        waits = 0 if lookahead == latency.SILENT else int(lookahead)
        assert found[latency.WAITS] == pytest.approx(1000 * waits / FRAME_RATE)
        assert found[latency.FRAMES] >= FRAME_RATE * SECONDS
        assert 0 <= found[latency.SKIPPED] <= found[latency.FRAMES]
        late = [found[name] for name in latency.LATE]
        if late[0] is not None:  # a machine too busy for a single timely picture has none
            assert found[latency.WAITS] <= late[0] <= late[1] <= late[2]
        for way in (latency.MOTION, latency.PIXELS, latency.SOUND):
            assert found[way] is None or found[way] > 0, way
    assert latency.SILENT in live.columns
    assert live.cell(latency.SOUND, latency.SILENT) is None


def test_frames_counted_are_frames_made(parts: dict[str, Part]) -> None:
    show = parts["soak"].tables[SHOW]
    made = show.cell("frames of sound", SIMULATED)
    assert show.cell("frames out", SIMULATED) == made == round(SECONDS * 60 * FRAME_RATE)
    assert show.cell("frames out", REAL) >= show.cell("frames of sound", REAL)
    assert show.cell("pictures a second", SIMULATED) == FRAME_RATE
    assert show.cell("largest skew, ms", SIMULATED) == 0


def test_the_ladder_answers_what_a_picture_costs(parts: dict[str, Part]) -> None:
    cheap, dear = parts["load"].tables["The overload ladder, simulated"].rows
    assert (cheap[1], cheap[2], cheap[8]) == (FRAME_RATE, 0, 0)
    assert dear[1] < 20
    assert dear[8] >= 1
    assert dear[4] == pytest.approx(cheap[4], abs=1)  # delay never grows
    assert load.knee([cheap, dear]) == cheap[0]


def test_results_can_be_read_again_and_measured_parts_stay(out: Path) -> None:
    before = command.read(out / "results.json")
    (machine,) = before["machines"]
    assert {"cpu", "cores", "steadiness"} <= set(before["machines"][machine])
    for name, part in command.parts_of(before).items():
        ran = before["parts"][name]["ran"]
        assert f"Cantar at {ran['code']}, {ran['when']}" in (out / "RESULTS.md").read_text(), name
        assert part_from_json(json.loads(json.dumps(part_to_json(part)))) == part, name
    assert command.main(["gpu", "--seconds", "1", "--out", str(out)]) == 0
    after = command.read(out / "results.json")
    assert set(after["parts"]) == set(before["parts"])
    assert after["parts"]["load"]["timings"] == before["parts"]["load"]["timings"]


def test_the_report_is_made_from_the_results_alone(out: Path, parts: dict[str, Part]) -> None:
    text = (out / "RESULTS.md").read_text()
    for name in EVERYDAY:
        assert f"## {name}" in text
    for promise in promises.PROMISES:
        assert promise.what in text
    for name in ("latency", "load", "soak"):
        assert f"({name}.png)" in text
        assert (out / f"{name}.png").stat().st_size > 10_000
    assert markdown(command.read(out / "results.json"), parts).count("\n## ") == len(parts) + 1


def test_the_readme_says_what_was_measured_last() -> None:
    """Every figure in its headline is in results.json: nobody has typed there."""
    results = command.read(command.HERE / "results.json")
    readme = (command.HERE.parent / "README.md").read_text(encoding="utf-8")
    assert headline(readme, results, command.parts_of(results), "bench") == readme


def test_the_headline_stays_between_its_marks(out: Path) -> None:
    results = command.read(out / "results.json")
    parts = command.parts_of(results)
    asked = f"before\n{BEGIN}\nyesterday\n{END}\nafter\n"
    told = headline(asked, results, parts, "bench")
    assert told.startswith(f"before\n{BEGIN}\n| what | promised |")
    assert told.endswith(f"{END}\nafter\n")
    assert "yesterday" not in told
    assert "not measured" not in told
    assert headline(told, results, parts, "bench") == told
    with pytest.raises(ValueError, match="expected a line"):
        headline("nothing to fill in", results, parts, "bench")


@pytest.mark.slow
def test_a_longer_hold_is_measured_as_later_pictures_sound_and_mouth(tmp_path: Path) -> None:
    """A show that is told to hold its frames for so long; nothing of it is asked, all is seen."""
    song, config = syllables.train(SECONDS), latency.still(Plan(SECONDS, tmp_path))
    with latency.DrawingProcess(config) as drawing:
        drawing.ready()
        short, long = (
            latency.on_the_clock(config, drawing, song, LiveConfig(margin_ms=margin))
            for margin in (200.0, 450.0)
        )
    waits = 1000 * config.lookahead / FRAME_RATE
    assert len(long.late)
    assert waits + 450 - 1 <= np.median(long.late) <= waits + 450 + 250
    assert long.heard >= (waits + 450 - 1) / 1000
    if len(short.late):
        assert np.median(long.late) - np.median(short.late) >= 200
    if short.motion is not None and long.motion is not None:
        assert long.motion.lag - short.motion.lag >= 0.2


def test_a_slowed_stage_is_a_regression_and_an_equal_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A separator that takes many times as long: its row, and those around it, not those beside.

    In processor time, which busy neighbours lengthen least."""
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    samples = stages.song(stages.LEAST)

    def measured() -> dict[str, Part]:
        heard, _ = stages.Hearer(AvatarConfig()).hear(samples)
        timings = {stage: stages.figures(spent) for stage, spent in heard.items()}
        return {"stages": Part("", timings)}

    fast = measured()
    assert not [ratio for ratio in compare(fast, fast) if ratio.regressed(0.01)]
    plain = Separator.__call__

    def slowed(self: Separator, *arguments: Any) -> Any:
        until = time.process_time() + SLOWED * fast["stages"].timings["separator"].p50 / 1000
        while time.process_time() < until:
            pass
        return plain(self, *arguments)

    monkeypatch.setattr(Separator, "__call__", slowed)
    ratios = {ratio.name: ratio for ratio in compare(fast, measured())}
    assert ratios["stages: separator"].regressed(LIMIT)
    assert ratios["stages: hearing"].regressed(LIMIT)
    assert ratios["stages: hear"].regressed(LIMIT)
    assert ratios["stages: eyes"].ratio < ratios["stages: separator"].ratio / 2
    assert ratios["stages: separator: network"].ratio < ratios["stages: separator"].ratio / 2


# ---- the arithmetic ------------------------------------------------------------------------------


def blocks(p50: float, spread: float, seed: int) -> Timing:
    return timing(np.random.default_rng(seed).normal(p50, spread, 400))


def test_a_comparison_is_as_sure_as_its_blocks() -> None:
    def ratio(old: Timing, new: Timing) -> Ratio:
        (found,) = compare({"a": Part("", {"x": old})}, {"a": Part("", {"x": new})})
        return found

    calm = ratio(blocks(10, 0.5, 1), blocks(13, 0.5, 2))
    assert calm.low < 1.3 < calm.high
    assert calm.high - calm.low < 0.05
    assert calm.regressed(0.1)
    assert not calm.regressed(0.5)
    noisy = ratio(blocks(10, 20, 1), blocks(11.5, 20, 2))
    assert not noisy.regressed(0.1)
    assert noisy.high - noisy.low > 5 * (calm.high - calm.low)
    faster = ratio(blocks(10, 0.5, 1), blocks(7, 0.5, 2))
    assert faster.improved(0.1)
    assert not faster.regressed(0.1)
    few = ratio(timing([1.0, 1.0]), timing([9.0, 9.0]))
    assert few.ratio == 9
    assert math.isnan(few.low)
    assert not few.regressed(0.1)
    assert agreement([calm, noisy, faster]) == (0, 3)


def test_only_what_both_have_is_compared() -> None:
    old = {"a": Part("", {"x": timing([1.0]), "y": timing([1.0])}), "b": Part("", {})}
    new = {"a": Part("", {"y": timing([2.0]), "z": timing([1.0])}), "c": Part("", {})}
    assert [ratio.name for ratio in compare(old, new)] == ["a: y"]


def test_the_usual_time_is_that_of_the_quietest_round_and_the_tail_of_all() -> None:
    tally = stages.Tally()
    quiet, busy = np.array([[2.0, 1.0]] * 30), np.array([[5.0, 3.0]] * 30)
    for spent in (busy, quiet, busy):
        tally.add("separator", spent, kb=7.0)
    found = tally.timings()["separator"]
    assert (found.count, found.p50, found.p99, found.max) == (90, 2.0, 5.0, 5.0)
    assert (found.cpu, found.kb, set(found.blocks)) == (1.0, 7.0, {2.0})


def test_neighbours_who_stay_for_most_of_every_round_do_not_count() -> None:
    tally = stages.Tally()
    calls = np.array([[5.0, 3.0]] * 160 + [[2.0, 1.0]] * 60)
    tally.add("separator", calls)
    assert tally.timings()["separator"].p50 == 2.0


def test_percentiles_are_ordered_and_nothing_is_not_timed() -> None:
    found = timing([3.0, 1.0, 2.0])
    assert (found.p50, found.max, found.count) == (2, 3, 3)
    with pytest.raises(ValueError, match="nothing was timed"):
        timing([])


def test_visits_to_the_page_are_told_as_one() -> None:
    visits = [
        syllables.Answer(lag, np.full(n, lag), n) for n, lag in ((2, 0.15), (1, 0.19), (3, 0.16))
    ]
    lag, each, missed = latency.together(visits)
    assert (lag, sorted(each), missed) == (0.16, [0.15] * 2 + [0.16] * 3 + [0.19], 6)


@pytest.mark.parametrize("delay", [-0.05, 0.0, 0.12, 0.4])
def test_a_mouth_answers_a_train_at_one_delay_only(delay: float) -> None:
    """A jaw that opens over 60 ms, shown in pictures that stay until the next one."""
    song = syllables.train(5.0)
    times = np.arange(0, 1 + song.sound.shape[1] / 48_000, 1 / FRAME_RATE) + 0.004
    since = times[:, None] - song.onsets[None] - delay
    opening = (np.clip(since / 0.06, 0, 1) * (since < 0.2)).max(axis=1)
    found = syllables.answer(times, opening, song.onsets)
    assert found.lag == pytest.approx(delay + 0.03 + 0.5 / FRAME_RATE, abs=0.015)
    assert np.median(found.each) == pytest.approx(found.lag, abs=0.02)
    assert found.missed <= 1


def test_a_mouth_that_does_not_answer_has_no_delay() -> None:
    song = syllables.train(5.0)
    times = np.arange(0, 6, 1 / FRAME_RATE)
    with pytest.raises(ValueError, match="never moved"):
        syllables.answer(times, np.zeros(len(times)), song.onsets)
    with pytest.raises(ValueError, match="answered"):
        syllables.answer(times, (times < 1.1).astype(float), song.onsets)


def test_a_train_is_uneven_and_begins_sharply() -> None:
    song = syllables.train(4.0)
    starts = np.round(song.onsets * 48_000).astype(int)
    assert len({round(gap, 3) for gap in np.diff(song.onsets)}) > 3
    for start in starts:
        assert np.abs(song.sound[0, start - 2400 : start]).max() == 0
        assert np.abs(song.sound[0, start : start + 1440]).max() > 0.1


def test_a_promise_is_kept_or_not_or_not_known() -> None:
    table = Table(("", REAL), (("pictures a second", 29.0), ("skipped share", 0.0001)))
    rows = promises.rows({"soak": Part("", tables={SHOW: table})})
    said = {what: (measured, verdict) for what, _, measured, verdict in rows}
    assert said["pictures a second, 512², separator on"] == ("29", "**not met**")
    assert said["skipped share of them"] == ("0.0001", "met")
    assert said["memory of a live show"] == ("not measured", "")


def test_a_promise_of_a_part_is_not_read_off_one_whose_name_begins_so() -> None:
    timings = {"hearing": timing([1.0]), "hear": timing([5.0]), "draw: aria, head": timing([9.0])}
    rows = promises.rows({"stages": Part("", timings=timings)})
    said = {what: (measured, verdict) for what, _, measured, verdict in rows}
    assert said["separator + MFCC + MusicFace, per frame, p99"] == ("5 ms", "**not met**")
    assert said["head 512², per picture, p50"] == ("9 ms", "met")


# ---- the command line ----------------------------------------------------------------------------


def test_a_slower_result_fails_the_comparison() -> None:
    """The same results, an old one of which says that everything was three times as fast."""
    results: dict[str, Any] = {"format": command.FORMAT, "machines": {"here": {}}}
    part = Part("", {"x": blocks(3, 0.1, 1)})
    now = {**results, "parts": {"gpu": {**part_to_json(part), "ran": {}}}}
    quick = Part("", {"x": blocks(1, 0.03, 2)})
    then = {**results, "parts": {"gpu": {**part_to_json(quick), "ran": {}}}}
    console = Console(quiet=True)
    assert not command.compared(console, then, now, 0.1)
    assert command.compared(console, now, then, 0.1)
    assert command.compared(console, now, now, 0.1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["latncy"], "unknown part latncy"),
        (["--seconds", "0"], "above 0"),
        (["--compare", "no such file.json"], "No such file"),
        (["--compare", "{old}"], "no results.json of this version"),
    ],
)
def test_what_the_user_can_mend_exits_with_2(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.json"
    old.write_text('{"machine": {}}')
    with pytest.raises(SystemExit) as exit_:
        command.main([argument.format(old=old) for argument in arguments])
    assert exit_.value.code == 2
    assert words in capsys.readouterr().err


# ---- minutes -------------------------------------------------------------------------------------


def test_the_longer_parts_in_miniature(tmp_path: Path) -> None:
    """Every renderer and runtime, cold starts, machines, quality and peers."""
    assert command.main([*LONGER, "--seconds", str(SECONDS), "--out", str(tmp_path)]) == 0
    parts = command.parts_of(command.read(tmp_path / "results.json"))
    assert set(parts) == set(LONGER)
    check_possible(parts)
    found = parts["stages"].timings
    assert found["separator: network"].p50 < found["separator"].p50 < found["hear"].p50
    steps = [row[2] for row in parts["stages"].tables["Cold start, step by step"].rows]
    assert steps == sorted(steps)
    for row in parts["scale"].tables["Machines"].rows:
        at_work, needed = row[2], row[-len(scale.MACHINES) :]
        for count, size in zip(needed, scale.MACHINES, strict=True):
            assert count * size >= at_work > 0, row
    assert len(parts["scale"].tables["Batches"].rows) == 2 * len(NETWORKS)


@pytest.mark.slow
def test_from_a_real_microphone_and_in_a_real_browser(tmp_path: Path) -> None:
    """On a quiet machine; skips, loudly, where there is no browser."""
    if (why := page.missing()) is not None:
        pytest.skip(f"latency in a browser is NOT tested: {why}")
    assert command.main(["latency", "--seconds", "12", "--out", str(tmp_path)]) == 0
    (part,) = command.parts_of(command.read(tmp_path / "results.json")).values()
    check_possible({"latency": part})
    ways = part.tables[latency.SKEW]
    for way in ("PulseAudio", "Chromium"):
        pixels = ways.cell(way, "to pixels, ms")
        assert isinstance(pixels, float), part.notes
        assert 30 < pixels < 400
