# Every verb sets itself up in .venv. TORCH_INDEX=https://… picks another torch build (e.g. CPU only).
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(VENV)/bin/pip install --quiet --disable-pip-version-check
INDEX  := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# pyaudio is compiled against PortAudio's header; without it live works from files.
MIC    := $(if $(wildcard /usr/include/portaudio.h /usr/local/include/portaudio.h /opt/homebrew/include/portaudio.h),[mic])
CORPUS ?= corpus
HOURS ?= 3.5
BACKING_HOURS ?= 0.75
JOBS ?= 2
RUNS   ?= runs

# Finds faces in photos: mediapipe, whose pins fight with ours, in an environment of its own.
MEDIAPIPE ?= mediapipe==0.10.21

# Draws VRM models in /stage: three.js and three-vrm from npm, as pinned in package-lock.json.
WEB    := streaming/web
STAGE  := $(WEB)/node_modules/.package-lock.json

.PHONY: live test test-slow test-virtualcam check stage portrait bench songs train clean

live: $(VENV)/live
	$(PY) run_live.py $(ARGS)

# Without npm or a network the tests that draw VRM models are skipped, and say so.
test: $(VENV)/dev
	-@$(MAKE) --no-print-directory stage
	$(PY) -m pytest --timeout 600 $(ARGS)

test-slow: $(VENV)/dev
	$(PY) -m pytest -m slow $(ARGS)

# A real v4l2loopback camera, in a small machine of its own (QEMU): see the script.
test-virtualcam: $(VENV)/dev
	tests/virtualcam/machine.sh

check: $(VENV)/dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/dev
	$(PY) -m bench $(ARGS)

# Disjoint voices, languages, instruments, progressions and seeds: valid/ is of families unheard.
songs: $(VENV)/dev
	$(PY) -m engine.training.songs --out $(CORPUS)/train --hours $(HOURS) --seed 1000 --jobs $(JOBS)
	$(PY) -m engine.training.songs --out $(CORPUS)/backings --kind backings --hours $(BACKING_HOURS) --seed 500000 --jobs $(JOBS)
	$(PY) -m engine.training.songs --out $(CORPUS)/valid --hours 0.25 --seed 900000 --split held-out --jobs $(JOBS)
	$(PY) -m engine.training.songs --out $(CORPUS)/unseen --kind backings --hours 0.25 --seed 950000 --split held-out --jobs $(JOBS)

ACT = seq 0 $$(($(JOBS) - 1)) | xargs -P $(JOBS) -I PART $(PY) -m engine.training.acting \
	--separator engine/weights/separator.onnx --part PART/$(JOBS)

train: songs
	$(PY) -m engine.training.separator --set songs=$(CORPUS)/train --set hard=$(CORPUS)/backings --set valid=$(CORPUS)/valid --set loop.out=$(RUNS)/separator
	$(PY) -m engine.training.ship separator $(RUNS)/separator
	$(ACT) --songs $(CORPUS)/train --hard $(CORPUS)/backings --out $(CORPUS)/lessons
	$(ACT) --songs $(CORPUS)/valid --hard $(CORPUS)/unseen --out $(CORPUS)/lessons-valid
	$(PY) -m engine.training.musicface --set lessons=$(CORPUS)/lessons --set valid=$(CORPUS)/lessons-valid --set loop.score_every=500 --set loop.out=$(RUNS)/musicface
	$(PY) -m engine.training.ship musicface $(RUNS)/musicface

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/live: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.$(MIC)'
	@touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) $(INDEX) --editable '.[dev]'
	@touch $@ $(VENV)/live

stage: $(STAGE)

$(STAGE): $(WEB)/package-lock.json
	@command -v npm >/dev/null || { echo "make stage needs npm: install Node.js (nodejs.org)"; exit 2; }
	npm ci --ignore-scripts --no-audit --no-fund --fetch-retries 1 --fetch-retry-mintimeout 1000 --prefix $(WEB)
	@touch $@

portrait: $(VENV)/live
	$(PYTHON) -m venv $(VENV)/portrait
	$(VENV)/portrait/bin/pip install --quiet --disable-pip-version-check '$(MEDIAPIPE)'
	$(PY) -m engine.rendering.portrait.finding

clean:
	rm -rf $(VENV) $(WEB)/node_modules build *.egg-info .pytest_cache .mypy_cache .ruff_cache
