"""The plugin against a VTube Studio that checks every rule; time is an argument, a day a loop."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.motion.live2d import PARAMETERS, parameters
from engine.signals import Motion
from streaming.peers import PARTS, part_of
from streaming.vtsplugin import FADE, KEEP, OWN, PATIENCE, UNDER_WAY, Lost, Plugin
from tests.streaming.peers import a_motion, blocks
from tests.streaming.vtube_studio import DEFAULTS, Session, Studio

FRAME = 1 / 30


class Link:
    """A plugin and a studio, wired together at once; `deaf`: the studio answers nothing."""

    def __init__(self, studio: Studio | None = None, token: str | None = None, **options) -> None:
        self.studio = studio or Studio()
        self.said: list[str] = []
        self.token, self.options = token, options
        self.now, self.frame, self.deaf, self.sent = 0.0, 0, False, 0
        self.connect()

    def connect(self) -> None:
        self.plugin = Plugin(self.token, self.said.append, **self.options)
        self.session = Session()
        self.carry(self.plugin.connected(self.now))

    def carry(self, texts: list[str]) -> None:
        while texts:
            self.sent += 1
            answer = self.studio.answer(texts.pop(0), self.session, self.now)
            if answer is not None and not self.deaf:
                texts += self.plugin.received(answer, self.now)
                self.token = self.plugin.token

    def show(self, motion: Motion | None = None) -> None:
        """One frame."""
        self.now += FRAME
        self.frame += 1
        self.carry(self.plugin.show(motion or a_motion(self.frame), self.now))

    def idle(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.05
            self.carry(self.plugin.idle(self.now))


# ---- the way in ---------------------------------------------------------------------------------


def test_asks_once_and_then_shows_every_frame() -> None:
    link = Link()
    assert link.plugin.ready
    assert "press Allow" in link.said[0]
    for _ in range(60):
        link.show()
    assert link.studio.broken == []
    assert link.studio.requests["InjectParameterDataRequest"] == 60
    expected = parameters(a_motion(60))
    assert {name: value for name, (value, _) in link.studio.values.items()} == expected
    link.connect()
    link.show()
    assert link.studio.asked == 1
    assert link.studio.broken == []


def test_takes_over_gently() -> None:
    link = Link()
    weights = []
    while link.now < 2 * FADE:
        link.show()
        weights.append(link.studio.weights["MouthOpen"])
    assert weights[0] < 0.1
    assert weights == sorted(weights)
    assert np.diff(weights).max() < 0.08
    assert weights[-1] == 1


def test_a_token_that_was_revoked_is_asked_for_anew() -> None:
    link = Link(token="of-another-installation")
    assert link.studio.asked == 1
    assert link.token in link.studio.tokens
    assert link.plugin.ready


def test_while_the_user_thinks_nothing_is_sent_however_long_it_takes() -> None:
    link = Link(Studio(allow=None))
    link.idle(20 * PATIENCE)
    for _ in range(30):
        link.show()
    assert link.studio.requests.total() == 1


def test_a_user_who_says_no_is_not_asked_again() -> None:
    link = Link(Studio(allow=False))
    assert "denied" in link.plugin.refused
    link.idle(60)
    link.show()
    assert link.studio.requests.total() == 1
    assert link.plugin.token is None


def test_access_taken_away_in_mid_show_ends_it() -> None:
    link = Link()
    link.show()
    link.studio.tokens.clear()
    link.show()
    assert link.plugin.refused
    link.show()
    assert link.studio.requests["InjectParameterDataRequest"] == 2


# ---- parameters ---------------------------------------------------------------------------------


def test_only_what_exists_is_sent() -> None:
    old = tuple(name for name in DEFAULTS if name not in ("CheekPuff", "TongueOut"))
    link = Link(Studio(defaults=old))
    link.show()
    assert set(link.studio.values) == set(PARAMETERS) - {"CheekPuff", "TongueOut"}
    assert link.studio.broken == []


@pytest.mark.parametrize("part", PARTS)
def test_parts_that_are_left_to_the_camera_are_not_sent(part: str) -> None:
    link = Link(only=(part,))
    link.show()
    assert set(link.studio.values) == {name for name in PARAMETERS if part_of(name) == part}


def test_all_52_as_parameters_of_our_own() -> None:
    link = Link(arkit=True)
    link.show()
    assert set(link.studio.custom) == set(OWN)
    assert set(link.studio.values) == {*PARAMETERS, *OWN}
    assert link.studio.values["CantarJawOpen"][0] == pytest.approx(
        a_motion(1).blendshapes[17], abs=1e-4
    )
    link.connect()
    assert link.studio.requests["ParameterCreationRequest"] == 52
    assert link.studio.broken == []


def test_a_full_house_of_parameters_leaves_the_default_ones() -> None:
    link = Link(Studio(custom={f"other{n}": "Other" for n in range(300)}), arkit=True)
    link.show()
    assert link.plugin.ready
    assert set(link.studio.values) == set(PARAMETERS)
    assert sum("at most 300" in said for said in link.said) == 1


def test_a_parameter_that_vanishes_is_left_out() -> None:
    link = Link(arkit=True)
    link.show()
    link.studio.custom.clear()
    for _ in range(90):
        link.show()
    assert set(link.studio.custom) == set(OWN)  # made again
    before = link.studio.requests["InjectParameterDataRequest"]
    link.show()
    assert link.studio.requests["InjectParameterDataRequest"] == before + 1


def test_another_plugin_that_holds_a_parameter_is_named_once_and_outlived() -> None:
    link = Link()
    link.show()
    link.studio.held["MouthOpen"] = "Lip Sync Deluxe"
    for _ in range(300):
        link.show()
    [line] = [said for said in link.said if "another plugin" in said]
    assert "MouthOpen is controlled by Lip Sync Deluxe" in line
    assert len(link.studio.broken) <= 11  # once a second, not thirty times
    link.studio.held.clear()
    for _ in range(60):
        link.show()
    assert link.studio.values["MouthOpen"][1] == pytest.approx(link.now)


# ---- rate ---------------------------------------------------------------------------------------


def test_a_still_motion_is_sent_again_before_it_is_forgotten() -> None:
    link = Link()
    link.show()
    link.idle(10)
    assert link.studio.forgotten == 0
    assert 10 / KEEP * 0.8 <= link.studio.requests["InjectParameterDataRequest"] <= 10 / KEEP + 2


def test_a_slow_program_gets_less_and_nothing_piles_up() -> None:
    link = Link()
    link.deaf = True
    for _ in range(100):
        link.show()
    assert link.studio.requests["InjectParameterDataRequest"] == UNDER_WAY


def test_a_program_that_answers_nothing_any_more_is_given_up() -> None:
    link = Link()
    link.deaf = True
    for _ in range(round(PATIENCE * 30)):
        link.show()
    link.now += 0.5
    with pytest.raises(Lost, match="does not answer"):
        link.show()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "language"),
        ("[]", "language"),
        ("[" * 100_000, "language"),
        ('{"messageType": "APIError", "data": {"errorID": 1}}', "switched off"),
        ('{"messageType": "APIError", "data": {"errorID": 51}}', "another plugin"),
        ('{"messageType": "APIError", "data": {"errorID": 8}}', "forgotten"),
    ],
)
def test_answers_that_end_a_connection(text: str, message: str) -> None:
    with pytest.raises(Lost, match=message):
        Plugin(None, print).received(text, 0.0)


def test_unknown_answers_and_fields_are_passed_over() -> None:
    plugin = Plugin(None, print)
    for answer in ({"messageType": "ModelLoadedEvent", "data": {"x": 1}}, {"messageType": "New"}):
        assert plugin.received(json.dumps(answer), 0.0) == []


# ---- a day --------------------------------------------------------------------------------------


def a_show(hours: float, every: int) -> tuple[Link, int]:
    """So much of a show, every `every`th frame of it, closed and opened again 24 times; how many
    blocks of memory more there are in the end than after an eighth of it."""
    link, before = Link(), 0
    motions = [a_motion(frame) for frame in range(64)]
    total = round(hours * 3600 * 30) // every
    for frame in range(total):
        if frame == total // 8:
            before = blocks()
        if frame % (total // 24) == 0:
            link.connect()
        link.now += every * FRAME
        link.carry(link.plugin.show(motions[frame % 64], link.now))
    link.said.clear()
    assert link.studio.requests["InjectParameterDataRequest"] == total
    assert link.studio.asked == 1
    assert link.studio.broken == []
    assert link.studio.forgotten == 0
    return link, blocks() - before


def test_an_hour_at_a_frame_a_second_is_never_forgotten_and_never_grows() -> None:
    assert a_show(1, 30)[1] < 500


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_day_of_every_frame_is_never_forgotten_and_never_grows() -> None:
    assert a_show(24, 1)[1] < 500
