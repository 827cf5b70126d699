# make quickstart   the main job on digits: train with and without the GAN, compare, export, search
# make test         the whole test suite
# make soak         kill twenty runs at random moments, each must end as if it had not been; load 1,000 odd models
# make lint         style
PYTHON ?= python3.11
BIN := .venv/bin
RUNS := runs/quickstart

.PHONY: quickstart test soak lint clean

.venv/installed: requirements.txt requirements-dev.txt setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements.txt -r requirements-dev.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

quickstart: .venv/installed
	$(BIN)/dshgan-train digits --no-gan --workdir $(RUNS)/no_gan
	$(BIN)/dshgan-train digits --workdir $(RUNS)/gan
	$(BIN)/dshgan-export $(RUNS)/gan --format saved_model --output $(RUNS)/export/saved_model
	$(BIN)/dshgan-export $(RUNS)/gan --format tflite --output $(RUNS)/export/tflite
	$(BIN)/dshgan-index $(RUNS)/gan --output $(RUNS)/database.index
	$(BIN)/dshgan-search $(RUNS)/database.index $(RUNS)/gan/plots/query.png --k 10
	$(BIN)/dshgan-evaluate $(RUNS)/no_gan $(RUNS)/gan

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

soak: .venv/installed
	DSHGAN_KILLS=20 DSHGAN_MODELS=1000 $(BIN)/python -m pytest tests/test_survival.py tests/test_fuzz.py -k "killed or odd_models" -s

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv build *.egg-info
