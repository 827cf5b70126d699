# make quickstart   the main job on digits: the whole method and labels alone; compare, export, search
# make test         the whole test suite, but for the tests in a browser
# make test-browser the tests in Debian's chromium; apt installs it, and npm, where they are missing
# make arm          the LiteRT encoders on ARM64 processors that qemu plays; changes what apt knows, see tests/arm
# make soak         kill twenty runs at random moments, each must end as if it had not been; load 1,000 odd models; 10,000 odd requests
# make docs         the documentation site, in site/; the tutorials are run for it (minutes)
# make lint         style
PYTHON ?= python3.11
BIN := .venv/bin
RUNS := runs/quickstart

.PHONY: quickstart test test-browser arm soak docs lint clean

.venv/installed: requirements.txt requirements-dev.txt requirements-docs.txt setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements.txt -r requirements-dev.txt -r requirements-docs.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

quickstart: .venv/installed
	$(BIN)/dshgan quickstart --workdir $(RUNS)

test: .venv/installed
	$(BIN)/python -m compileall -q dshgan_tf training export
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-browser: .venv/installed
	tests/browser/install.sh
	$(BIN)/pip install --quiet -r requirements-browser.txt
	PYTHON=$(BIN)/python tests/browser/run.sh

arm: .venv/installed
	PIP=$(BIN)/pip tests/arm/prepare.sh .arm
	$(BIN)/python -m pytest tests/arm -s

soak: .venv/installed
	DSHGAN_KILLS=20 DSHGAN_MODELS=1000 DSHGAN_REQUESTS=10000 $(BIN)/python -m pytest tests/test_survival.py tests/test_fuzz.py \
		tests/test_server_limits.py -k "killed or odd_models or malformed" -s

# mkdocs-material else tells on every build that its makers have a successor for it.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv build site *.egg-info
