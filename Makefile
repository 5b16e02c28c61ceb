# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BRAIN := bundles/brain_tumor_multicontrast_diffusion
DEMO := demo/brain_tumor
PHANTOMS ?= runs/phantoms

export HF_HUB_OFFLINE ?= 1

.PHONY: demo test test-paper test-slow test-gpu lint format doctor weights evaluate clean

$(VENV)/.stamp-base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	$(BIN)/python scripts/doctor.py --repair
	touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-base
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	$(BIN)/python scripts/doctor.py --repair
	touch $@

demo: $(VENV)/.stamp-base
	$(BIN)/python -m monai.bundle run --config_file $(BRAIN)/configs/inference.json --output_dir $(DEMO) --overwrite True
	@echo
	@echo "Synthetic contrasts, the mask that was used and a preview picture lie in:"
	@find $(CURDIR)/$(DEMO) -type f -not -name '.*' | sort | sed 's/^/  /'

test: $(VENV)/.stamp-dev
	$(BIN)/python -m pytest -n 2

test-paper: $(VENV)/.stamp-dev
	$(BIN)/python -m pytest -m paper

test-slow: $(VENV)/.stamp-dev
	$(BIN)/python -m pytest -m slow

test-gpu: $(VENV)/.stamp-dev
	$(BIN)/python -m pytest -m gpu

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.stamp-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

doctor: $(VENV)/.stamp-base
	$(BIN)/python scripts/doctor.py

# Makes the shipped weights again, into runs/: about 80 minutes on 2 cores.
weights: $(VENV)/.stamp-base
	$(BIN)/python scripts/make_phantoms.py brain --output $(PHANTOMS)/raw --num 640
	$(BIN)/python scripts/prepare_data.py brats --source $(PHANTOMS)/raw --output $(PHANTOMS) --fractions "(0.85,0.05,0.1)"
	$(BIN)/python -m monai.bundle run --config_file $(BRAIN)/configs/train_autoencoder.json \
		--input $(PHANTOMS)/datalist.json --output_dir runs/brain_tumor_autoencoder --cache_dir $(PHANTOMS)/cache
	$(BIN)/python -m monai.bundle run --config_file $(BRAIN)/configs/train_segmenter.json \
		--input $(PHANTOMS)/datalist.json --output_dir runs/brain_tumor_segmenter --cache_dir $(PHANTOMS)/cache
	$(BIN)/python -m monai.bundle run --config_file $(BRAIN)/configs/train_diffusion.json \
		--input $(PHANTOMS)/datalist.json --output_dir runs/brain_tumor_diffusion --cache_dir $(PHANTOMS)/cache \
		--autoencoder_weights runs/brain_tumor_autoencoder/model_autoencoder.pt

# The figures of the bundle's docs, by the shipped weights on the held-out phantoms of `make weights`.
evaluate: $(VENV)/.stamp-base
	$(BIN)/python -m monai.bundle run \
		--config_file "['$(BRAIN)/configs/inference.json','$(BRAIN)/configs/evaluate.json']" \
		--input $(PHANTOMS)/datalist.json --output_dir runs/brain_tumor_evaluation

clean:
	rm -rf demo outputs
