"""A show's start, step by step: `python -m bench.coldstart` prints when each step was done.

The same steps in the same order as `run_live.py --input demo --realtime`; seconds of the monotonic
clock, which all processes of a machine share, as JSON.
"""

from __future__ import annotations

import json
import time

DONE = {"Python runs": time.monotonic()}


def done(step: str) -> None:
    DONE[step] = time.monotonic()


class Premiere:
    """A sink that notes when the first picture that belongs to its sound left, then ends."""

    wants_picture = True
    wants_sound = True

    def write(self, motion: object, picture: object, sound: object) -> None:
        from streaming.preview import ShowOver

        if getattr(picture, "frame", -1) >= 0:
            done("the first picture leaves")
            raise ShowOver

    def close(self) -> None:
        """Nothing to finish."""


def main() -> None:
    from engine.avatar import Avatar, AvatarConfig
    from streaming.drawing import DrawingProcess
    from streaming.live import run_live, warm_up
    from streaming.schemes import open_source

    done("libraries are imported")
    config = AvatarConfig()
    with DrawingProcess(config) as drawing:
        done("the drawing process begins")
        source = open_source("demo", None, None, seconds=5.0)
        done("the song is open")
        avatar = Avatar(config, drawing)
        done("networks are loaded")
        drawing.ready()
        done("the renderer is there")
        warmth = warm_up(avatar, channels=2, pictures=True)
        done("both paths are warm")
        run_live(avatar, source, [Premiere()], warmth=warmth)
    print(json.dumps(DONE))


if __name__ == "__main__":
    main()
