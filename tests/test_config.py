"""Configuration is strict, complete in its presets, and its mistakes name path and cure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import PRESETS, ConfigError, presets, read
from streaming.line import LiveConfig, ShowConfig

MESSAGES = {
    "renderer.bakend=eager": "renderer.bakend: unknown key; did you mean renderer.backend?",
    "bakend=eager": "bakend: unknown key; did you mean backend?",
    "width=640": "width: unknown key; did you mean renderer.width?",
    "renderer.width=wide": "renderer.width: expected a whole number, got the text 'wide'",
    "renderer.width=1.5": "renderer.width: expected a whole number, got 1.5",
    "renderer.width=true": "renderer.width: expected a whole number, got true",
    "renderer.mirror=1": "renderer.mirror: expected true or false, got 1",
    "renderer.framing=bist": "expected bust or face, got the text 'bist'; did you mean bust?",
    "live.margin_ms=soon": "live.margin_ms: expected a number or null, got the text 'soon'",
    "live.slack_ms=.nan": "live.slack_ms: expected a number, got nan",
    "live.slack_ms=null": "live.slack_ms: expected a number, got null",
    "live.ring_ms=5": "live: ring_ms must be at least 100",
    "live=3": "live: is a group; set one of its values, such as live.ring_ms",
    "avatar.name=x": "avatar.name: avatar is a single value, not a group",
    "renderer.width": "expected KEY=VALUE",
    "=3": "expected KEY=VALUE",
    "seed={": "not a YAML value",
    "zzz=1": "zzz: unknown key; known here: avatar, lookahead",
}


@pytest.mark.parametrize(("override", "message"), MESSAGES.items())
def test_a_mistake_names_its_path_and_the_cure(override, message):
    with pytest.raises(ConfigError) as caught:
        read(ShowConfig, "cpu", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_overrides_win_in_order_and_change_nothing_else():
    config = read(ShowConfig, "cpu", ["renderer.width=640", "seed=7", "renderer.width=800"])
    assert (config.renderer.width, config.seed) == (800, 7)
    assert config.renderer.height == read(ShowConfig, "cpu").renderer.height
    assert read(ShowConfig, None, ["live.margin_ms=5"]).live.margin_ms == 5.0


def test_text_is_taken_as_it_is():
    config = read(ShowConfig, None, ["renderer.background=#00ff00", "avatar=007"])
    assert (config.renderer.background, config.avatar) == ("#00ff00", "007")
    assert read(ShowConfig, None, ["avatar='a b'"]).avatar == "a b"


def test_without_a_file_the_defaults_stand():
    assert read(ShowConfig, None) == ShowConfig()


def test_presets_are_the_four():
    assert presets() == ["cpu", "gpu", "karaoke", "vtuber"]


@pytest.mark.parametrize("preset", presets())
def test_a_preset_is_complete_and_reads(preset):
    def keys(cls, tree, path=""):
        assert set(tree) == {f.name for f in fields(cls)}, path
        for name, value in tree.items():
            group = getattr(cls(), name)
            if is_dataclass(group):
                keys(type(group), value, f"{path}{name}.")

    keys(ShowConfig, yaml.safe_load((PRESETS / f"{preset}.yaml").read_text()))
    assert isinstance(read(ShowConfig, preset).live, LiveConfig)


def write(tmp_path, text):
    path = tmp_path / "show.yaml"
    path.write_text(text)
    return path


def test_a_file_may_leave_things_out_and_may_be_empty(tmp_path):
    path = write(tmp_path, "renderer:\n  width: 640\n")
    assert read(ShowConfig, path).renderer.width == 640
    assert read(ShowConfig, write(tmp_path, "")) == ShowConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("renderer:\n  bakend: eager\n", "renderer.bakend: unknown key"),
        ("renderer: 3\n", "renderer: expected a group of keys, got 3"),
        ("seed: 1\nseed: 2\n", "line 2: seed is given twice"),
        ("a: [\n", "is not YAML: line 2"),
        ("- 1\n- 2\n", "expected keys with values"),
        ("!!python/object/apply:os.system ['true']\n", "is not YAML"),
        ("1: 2\n", "1: unknown key"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read(ShowConfig, path)
    assert message in str(caught.value)
    assert "show.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"no such configuration: cpy; did you mean cpu\?"):
        read(ShowConfig, "cpy")
    with pytest.raises(ConfigError, match="presets are cpu, gpu, karaoke, vtuber"):
        read(ShowConfig, str(tmp_path / "none.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"bytes\.yaml"):
        read(ShowConfig, tmp_path / "bytes.yaml")


@dataclass(frozen=True)
class Inner:
    size: int
    rate: float | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=lambda: Inner(1))
    name: str = "x"


def test_what_has_no_default_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match=r"inner\.size: is missing"):
        read(Outer, write(tmp_path, "inner:\n  rate: 1\n"))
    assert read(Outer, write(tmp_path, "inner: {size: 3, rate: 2}\n")).inner == Inner(3, 2.0)


@settings(deadline=None)  # this machine may be busy
@given(st.text(max_size=30), st.text(max_size=30))
def test_any_override_reads_or_is_a_config_error(key, value):
    with suppress(ConfigError):
        read(ShowConfig, None, [f"{key}={value}"])


@settings(deadline=None)  # this machine may be busy
@given(st.text(max_size=30))
def test_any_text_for_a_number_reads_as_one_or_is_a_config_error(value):
    with suppress(ConfigError):
        assert type(read(ShowConfig, None, [f"seed={value}"]).seed) is int
