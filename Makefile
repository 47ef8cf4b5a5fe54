# `make demo` and `make test` set up what they need in .venv; nothing else is asked of a user.

PYTHON ?= python3.11
# A folder that may hold a wheel of mmcv that was built before: an optional cache, not needed.
WHEELS ?= ../shared/wheels

SETUP = $(PYTHON) scripts/setup_environment.py
BIN = .venv/bin
# Two threads of two processes wait for each other most of the time on a small machine.
THREADS = OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive

.PHONY: demo test check lock clean

demo: .venv/.stamp-core
	$(BIN)/polyp-aug demo --out demo_out

test: .venv/.stamp-full
	$(THREADS) $(BIN)/python -m pytest

check: .venv/.stamp-full
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Write the releases that .venv holds into requirements.lock.
lock: .venv/.stamp-full
	$(SETUP) lock

# Everything that was made here, but for the wheels in .cache, which take minutes to build.
clean:
	rm -rf .venv demo_out build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

.venv/.stamp-core: setup.cfg pyproject.toml requirements.lock scripts/setup_environment.py
	$(SETUP) core
	touch $@

.venv/.stamp-full: .venv/.stamp-core requirements-nodeps.lock
	$(SETUP) full "$(WHEELS)"
	touch $@
