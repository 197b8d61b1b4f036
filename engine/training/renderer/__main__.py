"""Train a renderer: `python -m engine.training.renderer --config configs/train/renderer.yaml`.

Pre-train on the rasteriser itself (`pairs: raster:aria`); take the network out with `python -m
engine.training.renderer.shipping RUN --network START.onnx`; train on Cycles' frames with `--set
pairs=FOLDER --set loop.start=START.onnx`; ship with `…shipping RUN`.
"""

from __future__ import annotations

from engine.training.loop import run
from engine.training.renderer.task import RendererTask, RendererTraining


def main() -> None:
    """Command line."""
    run(RendererTraining, RendererTask, "configs/train/renderer.yaml", __doc__)


if __name__ == "__main__":
    main()
