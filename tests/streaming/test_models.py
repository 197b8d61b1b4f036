"""A user's models over HTTP: the files of one folder and nothing else, each looked at first."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import ClientSession, TCPConnector
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from streaming import models
from streaming.answers import SECURITY, WEB, Refused
from streaming.casts import Wings
from streaming.line import ShowConfig
from streaming.models import Models
from streaming.ports import UserError
from streaming.webconfig import WebConfig
from tests.serving import Served, serving
from tests.streaming.peers import vrm_model, write_glb
from tests.streaming.test_server import nobody
from tests.streaming.tinyvrm import write_vrm

TRICKS = (
    "..", ".", "%2e%2e%2fsecret.vrm", "..%2Fsecret.vrm", "..%5Csecret.vrm", "%2Fetc%2Fpasswd",
    "one.vrm%00.png", "one.vrm%2F..%2Fone.vrm", "one.vrm%2F", ".%2Fone.vrm", "ONE.vrm",
    "one.vrm%20", "link.vrm", "folder.vrm", "folder.vrm%2Finside.vrm", "notes.txt", "one",
    "%FF.vrm", "a" * 5000,
    "%E2%80%A5%E2%81%84secret.vrm", "file:%2F%2F%2Fsecret.vrm", "*.vrm", "",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of models, with a secret beside it and links to that."""
    folder = tmp_path_factory.mktemp("house") / "models"
    (folder / "folder.vrm").mkdir(parents=True)
    write_vrm(folder / "one.vrm", 1)
    write_vrm(folder / "Ünï 0.VRM", 0)
    secret = write_vrm(folder.parent / "secret.vrm", 1)
    write_vrm(folder / "folder.vrm" / "inside.vrm", 1)
    (folder / "link.vrm").symlink_to(secret)
    (folder / "notes.txt").write_text("mine")
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    config = ShowConfig(web=WebConfig(sessions=1, drain_s=0.0, models=str(folder)))
    with serving(config, Wings(nobody)) as served:
        yield served


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here models are only fetched: what draws them need not be there."""
    monkeypatch.setattr(models, "libraries_there", lambda: True)


def get(served: Served, *paths: str, token: str | None = None) -> list[tuple[int, bytes, str]]:
    """Status, body and kind of each answer; paths go over the wire as they are."""

    async def scenario() -> list[tuple[int, bytes, str]]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        served.server._rates["model"]._levels.clear()
        answers = []
        async with ClientSession(connector=TCPConnector(), headers=headers) as client:
            for path in paths:
                url = URL(served.url + path, encoded=True)
                async with client.get(url) as response:
                    answers.append((response.status, await response.read(), response.content_type))
        return answers

    return asyncio.run(scenario())


# ---- laws ---------------------------------------------------------------------------------------


def test_a_model_comes_as_it_is(served: Served, folder: Path) -> None:
    for name in ("one.vrm", "Ünï 0.VRM"):
        ((status, body, kind),) = get(served, f"/models/{quote(name)}")
        assert (status, kind) == (200, "model/gltf-binary")
        assert body == (folder / name).read_bytes()


@pytest.mark.parametrize("name", TRICKS)
def test_no_trick_reaches_anything_else(served: Served, name: str) -> None:
    ((status, body, _),) = get(served, f"/models/{name}")
    assert status in (400, 404)
    assert b"glTF" not in body
    assert b"mine" not in body


@given(st.text(st.characters(codec="utf-8"), max_size=40))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_is_one_of_the_folders_or_refused(folder: Path, name: str) -> None:
    with pytest.raises(Refused, match="no such model"):
        Models(str(folder)).find(name)


def test_with_a_token_only_who_knows_it_gets_a_model(folder: Path) -> None:
    config = ShowConfig(web=WebConfig(sessions=1, drain_s=0.0, models=str(folder)))
    with serving(config, Wings(nobody), token="hush") as served:
        path = "/models/one.vrm"
        assert [get(served, path, token=t)[0][0] for t in (None, "hash", "hush")] == [401, 401, 200]


def test_models_may_be_fetched_only_so_often(served: Served) -> None:
    answers = get(served, *["/models/none.vrm"] * 62)
    assert [status for status, _, _ in answers].count(429) in (1, 2)


# ---- what is no model ---------------------------------------------------------------------------


def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, monkeypatch) -> None:
    whole = write_vrm(tmp_path / "whole.vrm", 1).read_bytes()
    (tmp_path / "short.vrm").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.vrm").write_bytes(b"")
    (tmp_path / "song.vrm").write_bytes(b"OggS" + bytes(64))
    write_glb(tmp_path / "chair.vrm", {"asset": {"version": "2.0"}, "nodes": []})
    write_glb(tmp_path / "bare.vrm", {**vrm_model(1), "extensions": {"VRMC_vrm": {}}})
    found = Models(str(tmp_path))
    assert found.find("whole.vrm") == tmp_path / "whole.vrm"
    for name, why in {
        "short.vrm": "short.vrm is cut short; copy it again",
        "empty.vrm": "empty.vrm is not a VRM model (expected a binary glTF file)",
        "song.vrm": "song.vrm is not a VRM model (expected a binary glTF file)",
        "chair.vrm": "chair.vrm is not a VRM model (a glTF without VRM's bones)",
        "bare.vrm": "bare.vrm is not a VRM model (a glTF without VRM's bones)",
    }.items():
        with pytest.raises(UserError, match=re.escape(why)) as refusal:
            found.find(name)
        assert str(tmp_path) not in str(refusal.value)  # a guest need not know our folders
    monkeypatch.setattr(models, "MOST_MB", 0)
    with pytest.raises(UserError, match=r"whole\.vrm is larger than 0 MB"):
        found.find("whole.vrm")


def test_a_folder_that_is_not_there_has_no_models(tmp_path: Path) -> None:
    nowhere = Models(str(tmp_path / "nowhere"))
    assert nowhere.names() == []
    with pytest.raises(Refused, match="there is none yet"):
        nowhere.find("my.vrm")


def test_without_its_own_setting_the_folder_is_the_users(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(models, "config_folder", lambda: tmp_path)
    assert Models().folder == tmp_path / "models"


# ---- what draws them ----------------------------------------------------------------------------


def test_without_the_libraries_every_answer_tells_how_to_get_them(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "libraries_there", lambda: False)
    for status, body, _ in get(served, "/models/one.vrm", f"/vendor/{models.SCRIPTS[0]}"):
        assert status == 501
        assert b"run `make stage` once" in body


def test_the_import_map_names_what_is_served_and_the_page_may_use_it() -> None:
    page = (WEB / "stage.html").read_text(encoding="utf-8")
    mapped = re.findall(r'"/vendor/([^"]+)"', page)
    assert all(any(script.startswith(path) for script in models.SCRIPTS) for path in mapped)
    assert re.search(r"script-src 'self' 'sha256-[\w+/]{43}='", SECURITY["Content-Security-Policy"])


def test_the_libraries_are_pinned_with_their_hashes() -> None:
    """Every package of the lock file, so that npm takes no other."""
    locked = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    wanted = json.loads((WEB / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert locked[""]["dependencies"] == wanted
    for name, package in locked.items():
        if name:
            assert package["integrity"].startswith("sha512-")
            assert package["license"] in ("MIT", None)
    for name, version in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == version
