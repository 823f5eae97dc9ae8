# make demo and make test set up what they need; make install only does this set-up.
# Another interpreter: make install PYTHON=python3.12
# The onedl stack has an environment of its own: make install-onedl, make test-onedl
# Some of the tests: make test TESTS=tests/compat
# The fast ones, in under two minutes: make test-fast
# With mmcv's compiled ops, by a Python that has them: make test-compiled COMPILED=venv/bin/python
VENV := .venv
ONEDL := .venv-onedl
COMPILED := .venv-compiled/bin/python
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ONEDL_STAMP := $(ONEDL)/.installed
REQUIREMENTS := setup.py requirements.txt $(filter-out requirements/constraints-%,$(wildcard requirements/*.txt)) requirements/install.sh
PYTHON ?=
TESTS ?=
# Models in tests are small: two processes of one thread take half the time of one process of two.
PYTEST := -m pytest -n 2 --dist worksteal

.PHONY: install install-onedl demo test test-fast test-onedl test-compiled lint bench constraints clean

install: $(STAMP)

install-onedl: $(ONEDL_STAMP)

$(STAMP): $(REQUIREMENTS)
	@PYTHON="$(PYTHON)" bash requirements/install.sh "$(VENV)"
	@touch $@

$(ONEDL_STAMP): $(REQUIREMENTS)
	@PYTHON="$(PYTHON)" bash requirements/install.sh "$(ONEDL)" onedl
	@touch $@

demo: $(STAMP)
	$(BIN)/python tools/demo.py --out work_dirs/demo

# Exporters and their runtimes have processes of their own: a worker that had used them was lost later.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) $(or $(TESTS),tests --ignore tests/export)
ifeq ($(TESTS),)
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) tests/export
endif

test-fast: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) -m "not slow" $(TESTS)

test-onedl: $(ONEDL_STAMP)
	OMP_NUM_THREADS=1 $(ONEDL)/bin/python $(PYTEST) $(TESTS)

test-compiled:
	$(COMPILED) -c "import mmproscale, mmcv._ext as ops; assert ops.__file__.endswith('.so'), ops.__file__"
	OMP_NUM_THREADS=1 $(COMPILED) $(PYTEST) tests/ops tests/compat tests/models/test_autocast.py \
		tests/models/pixel_decoders/test_pem_pixel_decoder.py tests/models/heads/test_official_pem.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy mmproscale
	$(BIN)/lint-imports

# Nothing else should run at the same time.
bench: $(STAMP)
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/attention.py
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/compiled.py --rounds 5 --warm-up 0 --no-memory
	$(BIN)/python benchmarks/detection_encoder.py
	$(BIN)/python benchmarks/mask_decoder.py
	$(BIN)/python benchmarks/prototype_attention.py --rounds 5 --no-memory
	$(BIN)/python benchmarks/fusion.py
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/panoptic_quality.py --threads 1
	$(BIN)/python benchmarks/gate_fitting.py --rounds 3 --warm-up 0
	$(BIN)/python benchmarks/annotation_loading.py --rounds 3 --warm-up 0
	$(BIN)/python benchmarks/page.py

# The versions of both environments, for pip install -c.
constraints: $(STAMP) $(ONEDL_STAMP)
	$(BIN)/python requirements/pin.py requirements/openmmlab.txt requirements/int8.txt > requirements/constraints-openmmlab.txt
	$(ONEDL)/bin/python requirements/pin.py requirements/onedl.txt > requirements/constraints-onedl.txt

clean:
	rm -rf $(VENV) $(ONEDL) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
