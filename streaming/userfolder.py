"""Where this user's own small files are kept: secrets in files that nobody else can read."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def config_folder() -> Path:
    """The folder, which may not exist yet."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData/Roaming") / "cantar"
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/cantar"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "cantar"


def read_secrets(path: Path) -> dict[str, Any]:
    """What `write_secrets` wrote; empty when there is nothing that can be read."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}


def write_secrets(path: Path, secrets: dict[str, Any]) -> None:
    """Keep them, readable by this user only (mode 0600), whole or not at all. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(secrets, file, indent=1)
    os.replace(draft, path)
