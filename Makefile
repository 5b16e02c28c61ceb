# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BRAIN := bundles/brain_tumor_multicontrast_diffusion
DEMO := demo/brain_tumor
PHANTOMS ?= runs/phantoms
TRAIN := $(BIN)/python -m monai.bundle run --config_file $(BRAIN)/configs
COHORT := --input $(PHANTOMS)/datalist.json --cache_dir $(PHANTOMS)/cache

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

# Makes the shipped weights again, into runs/: about 2 hours on 2 cores. The decoder is polished with its encoder frozen.
weights: $(VENV)/.stamp-base
	$(BIN)/python scripts/make_phantoms.py brain --output $(PHANTOMS)/raw --num 640
	$(BIN)/python scripts/prepare_data.py brats --source $(PHANTOMS)/raw --output $(PHANTOMS) --fractions "(0.85,0.05,0.1)"
	$(TRAIN)/train_autoencoder.json $(COHORT) --output_dir runs/brain_tumor_autoencoder
	$(TRAIN)/train_autoencoder.json $(COHORT) --output_dir runs/brain_tumor_decoder \
		--init_from runs/brain_tumor_autoencoder/model_autoencoder.pt --freeze_encoder True \
		--max_epochs 4 --learning_rate 0.0008 --warmup_steps 20 --l2_weight 1.0 --kl_weight 0
	$(TRAIN)/train_segmenter.json $(COHORT) --output_dir runs/brain_tumor_segmenter
	$(TRAIN)/train_diffusion.json $(COHORT) --output_dir runs/brain_tumor_diffusion \
		--autoencoder_weights runs/brain_tumor_decoder/model_autoencoder.pt

# The figures of the bundle's docs, by the shipped weights on the held-out phantoms of `make weights`.
EVALUATE := $(BRAIN)/configs/inference.json','$(BRAIN)/configs/evaluate.json
evaluate: $(VENV)/.stamp-base
	$(BIN)/python -m monai.bundle run --config_file "['$(EVALUATE)']" \
		--input $(PHANTOMS)/datalist.json --output_dir runs/brain_tumor_evaluation
	$(BIN)/python -m monai.bundle run --config_file "['$(EVALUATE)','$(BRAIN)/configs/steps.json']" \
		--input $(PHANTOMS)/datalist.json --output_dir runs/brain_tumor_steps

clean:
	rm -rf demo outputs
