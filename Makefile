# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LABEL := .venv-label
CARD := $(BIN)/python scripts/model_card.py --report
RUN := $(BIN)/python -m monai.bundle run --config_file
BRAIN := bundles/brain_tumor_multicontrast_diffusion/configs
DCE := bundles/breast_dce_contrast_gan/configs
MIP := bundles/breast_mip_lesion_diffusion/configs
MAMMOGRAM := bundles/mammogram_stable_diffusion/configs
SEGMENTATION := bundles/breast_dce_tumor_segmentation/configs
BRAIN_PHANTOMS ?= runs/phantoms
DCE_PHANTOMS ?= runs/breast_dce_phantoms
MIP_PHANTOMS ?= runs/breast_mip_phantoms
MAMMOGRAM_PHANTOMS ?= runs/mammogram_phantoms
SEGMENTATION_PHANTOMS ?= runs/segmentation_phantoms
BRAIN_COHORT := --input $(BRAIN_PHANTOMS)/datalist.json --cache_dir $(BRAIN_PHANTOMS)/cache
DCE_COHORT := --input $(DCE_PHANTOMS)/datalist.json --cache_dir $(DCE_PHANTOMS)/cache
MIP_COHORT := --input $(MIP_PHANTOMS)/datalist.json --cache_dir $(MIP_PHANTOMS)/cache
MAMMOGRAM_COHORT := --input $(MAMMOGRAM_PHANTOMS)/datalist.json --cache_dir $(MAMMOGRAM_PHANTOMS)/cache

# A network and patches that a CPU trains.
NARROW := --features "[8,16,32,64]" --patch "[16,48,48]" --batch_size 2

export HF_HUB_OFFLINE ?= 1

.PHONY: demo test test-paper test-slow test-gpu label label-test lint format doctor weights weights-brain weights-dce \
	weights-mip weights-mammogram weights-segmentation evaluate evaluate-brain evaluate-dce evaluate-mip \
	evaluate-mammogram evaluate-segmentation scenarios cards clean

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
	$(RUN) $(BRAIN)/inference.json --output_dir demo/brain_tumor --overwrite True
	$(RUN) $(DCE)/inference.json --output_dir demo/breast_dce --overwrite True
	$(RUN) $(MIP)/inference.json --output_dir demo/breast_mip --overwrite True
	$(RUN) $(SEGMENTATION)/inference.json --output_dir demo/breast_segmentation --mirroring False --overwrite True
	$(RUN) $(MAMMOGRAM)/generate.json --output_dir demo/mammogram --overwrite True
	$(RUN) $(MAMMOGRAM)/inference.json --output_dir demo/mammogram_lesion --overwrite True
	@echo
	@echo "Synthetic brain contrasts around a tumour mask, synthetic breast phases from a pre-contrast volume, the"
	@echo "tumours found after contrast, synthetic breast MIPs around lesions, mammograms from text, a lesion painted into"
	@echo "one, and pictures of each, lie in:"
	@find $(CURDIR)/demo -type f -not -name '.*' | sort | sed 's/^/  /'

test: $(VENV)/.stamp-dev
	$(BIN)/python -m pytest -n 2 --durations 20

test-paper: $(VENV)/.stamp-dev
	$(BIN)/python -m pytest -m paper

test-slow: $(VENV)/.stamp-dev
	$(BIN)/python -m pytest -m slow

test-gpu: $(VENV)/.stamp-dev
	$(BIN)/python -m pytest -m gpu

# MONAI Label, in an environment of its own. The pins hold in the build of sam2 too, which would fetch another torch;
# pip has renamed that variable.
$(LABEL)/.stamp: requirements/label.txt requirements/label-constraints.txt requirements/torchvision_on_cpu.py
	test -x $(LABEL)/bin/python || $(PYTHON) -m venv $(LABEL)
	PIP_CONSTRAINT=requirements/label-constraints.txt PIP_BUILD_CONSTRAINT=requirements/label-constraints.txt \
		$(LABEL)/bin/python -m pip install --quiet -r requirements/label.txt
	$(LABEL)/bin/python scripts/label_server.py repair
	touch $@

label: $(LABEL)/.stamp

label-test: $(LABEL)/.stamp
	$(LABEL)/bin/python -m pytest --confcutdir tests/label -m label tests/label --durations 10

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.stamp-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

doctor: $(VENV)/.stamp-base
	$(BIN)/python scripts/doctor.py

# Make the shipped weights again, into runs/.
weights: weights-brain weights-dce weights-mip weights-mammogram weights-segmentation

# About 2 hours on 2 cores. The decoder is polished with its encoder frozen.
weights-brain: $(VENV)/.stamp-base
	$(BIN)/python scripts/make_phantoms.py brain --output $(BRAIN_PHANTOMS)/raw --num 640
	$(BIN)/python scripts/prepare_data.py brats --source $(BRAIN_PHANTOMS)/raw --output $(BRAIN_PHANTOMS) \
		--fractions "(0.85,0.05,0.1)"
	$(RUN) $(BRAIN)/train_autoencoder.json $(BRAIN_COHORT) --output_dir runs/brain_tumor_autoencoder
	$(RUN) $(BRAIN)/train_autoencoder.json $(BRAIN_COHORT) --output_dir runs/brain_tumor_decoder \
		--init_from runs/brain_tumor_autoencoder/model_autoencoder.pt --freeze_encoder True \
		--max_epochs 4 --learning_rate 0.0008 --warmup_steps 20 --l2_weight 1.0 --kl_weight 0
	$(RUN) $(BRAIN)/train_segmenter.json $(BRAIN_COHORT) --output_dir runs/brain_tumor_segmenter
	$(RUN) $(BRAIN)/train_diffusion.json $(BRAIN_COHORT) --output_dir runs/brain_tumor_diffusion \
		--autoencoder_weights runs/brain_tumor_decoder/model_autoencoder.pt

# About 90 minutes on 1 core. The first run finds lesions; the second lets the image into the last convolution, which then
# smooths its noise, lowers the learning rate and ends with the adversarial terms; the third sees new patients.
weights-dce: $(VENV)/.stamp-base
	$(BIN)/python scripts/make_phantoms.py breast_dce --output $(DCE_PHANTOMS)/raw --num 360 --format nifti
	$(BIN)/python scripts/prepare_data.py mama_mia --source $(DCE_PHANTOMS)/raw --output $(DCE_PHANTOMS) \
		--fractions "(0.84,0.05,0.11)"
	$(BIN)/python scripts/make_phantoms.py breast_dce --output $(DCE_PHANTOMS)_more/raw --num 240 --first 1000 \
		--format nifti
	$(BIN)/python scripts/prepare_data.py mama_mia --source $(DCE_PHANTOMS)_more/raw --output $(DCE_PHANTOMS)_more \
		--fractions "(0.93,0.07,0)"
	$(RUN) $(DCE)/train.json $(DCE_COHORT) --output_dir runs/breast_dce_first \
		--image_to_head False --max_epochs 12 --constant_epochs 12 --adversarial_weight 0
	$(RUN) $(DCE)/train.json $(DCE_COHORT) --output_dir runs/breast_dce_second \
		--init_from runs/breast_dce_first/model.pt
	$(RUN) $(DCE)/train.json --input $(DCE_PHANTOMS)_more/datalist.json --cache_dir $(DCE_PHANTOMS)_more/cache \
		--output_dir runs/breast_dce --init_from runs/breast_dce_second/model.pt \
		--max_epochs 9 --constant_epochs 2 --learning_rate 0.0006 --adversarial_weight 0

# About 2 hours on 2 cores. The second run of the diffusion looks at lesions more closely.
weights-mip: $(VENV)/.stamp-base
	$(BIN)/python scripts/make_phantoms.py breast_dce --output $(MIP_PHANTOMS)/raw --num 700 --format nifti \
		--findings birads --num_phases 1
	$(BIN)/python scripts/prepare_data.py breast_mips --source $(MIP_PHANTOMS)/raw --output $(MIP_PHANTOMS) \
		--fractions "(0.8,0.1,0.1)"
	$(RUN) $(MIP)/train_autoencoder.json $(MIP_COHORT) --output_dir runs/breast_mip_autoencoder
	$(RUN) $(MIP)/train_reader.json $(MIP_COHORT) --output_dir runs/breast_mip_reader
	$(RUN) $(MIP)/train_diffusion.json $(MIP_COHORT) --output_dir runs/breast_mip_first \
		--latent_dir runs/breast_mip_latents --autoencoder_weights runs/breast_mip_autoencoder/model_autoencoder.pt
	$(RUN) $(MIP)/train_diffusion.json $(MIP_COHORT) --output_dir runs/breast_mip_diffusion \
		--latent_dir runs/breast_mip_latents --init_from runs/breast_mip_first/model.pt \
		--max_epochs 48 --learning_rate 0.0008 --warmup_steps 30 --region_weight 8

# About 45 minutes on 1 core. The second run of the diffusion looks at regions and lesions more closely.
weights-mammogram: $(VENV)/.stamp-base
	$(BIN)/python scripts/make_phantoms.py mammogram --output $(MAMMOGRAM_PHANTOMS)/raw --num 600
	$(BIN)/python scripts/prepare_data.py vindr --source $(MAMMOGRAM_PHANTOMS)/raw --output $(MAMMOGRAM_PHANTOMS) \
		--size 256 --fractions "(0.82,0.06,0.12)"
	$(RUN) $(MAMMOGRAM)/train_autoencoder.json $(MAMMOGRAM_COHORT) --output_dir runs/mammogram_autoencoder
	$(RUN) $(MAMMOGRAM)/train_diffusion.json $(MAMMOGRAM_COHORT) --output_dir runs/mammogram_diffusion \
		--latent_dir $(MAMMOGRAM_PHANTOMS)/latents \
		--autoencoder_weights runs/mammogram_autoencoder/model_autoencoder.pt
	$(RUN) $(MAMMOGRAM)/train_diffusion.json $(MAMMOGRAM_COHORT) --output_dir runs/mammogram_painting \
		--latent_dir $(MAMMOGRAM_PHANTOMS)/latents_regions --init_from runs/mammogram_diffusion/model.pt \
		--max_epochs 9 --learning_rate 0.001 --warmup_steps 30 --crop_share 0.5 --inpaint_share 0.3 \
		--lesion_passes 5 --mask_weight 30
	$(RUN) $(MAMMOGRAM)/train_reader.json $(MAMMOGRAM_COHORT) --output_dir runs/mammogram_reader
	$(RUN) $(MAMMOGRAM)/train_reader.json $(MAMMOGRAM_COHORT) --output_dir runs/mammogram_cad --reads malignancy

# About 40 minutes on 1 core. nnU-Net draws without a seed: weights differ from run to run.
weights-segmentation: $(VENV)/.stamp-base
	$(BIN)/python scripts/make_phantoms.py breast_dce --output runs/segmentation_training/raw --num 160 --first 6000 \
		--format nifti --num_phases 1
	$(BIN)/python scripts/prepare_data.py mama_mia --source runs/segmentation_training/raw \
		--output runs/segmentation_training --fractions "(1,0,0)" --num_phases 1
	$(BIN)/python scripts/nnunet.py convert --input runs/segmentation_training/datalist.json \
		--output runs/segmentation_weights
	$(BIN)/python scripts/nnunet.py plan --output runs/segmentation_weights $(NARROW)
	$(BIN)/python scripts/nnunet.py train --output runs/segmentation_weights --model post --fold 0 --epochs 160 \
		--iterations 100 --validation_iterations 2 --optimizer adam --learning_rate 0.003
	$(BIN)/python scripts/nnunet.py export --overwrite True --output runs/segmentation_weights/bundle --source \
		runs/segmentation_weights/nnUNet_results/Dataset504_Breast_post/nnUNetTrainer__nnUNetPlans__3d_fullres

# The four scenarios on phantoms, one fold of each model; about an hour on 1 core.
scenarios: $(VENV)/.stamp-base $(SEGMENTATION_PHANTOMS)/datalist.json
	$(BIN)/python scripts/nnunet.py scenarios --input $(SEGMENTATION_PHANTOMS)/datalist.json \
		--output runs/segmentation $(NARROW) --folds "[0]" --epochs 40 --iterations 100 --validation_iterations 2 \
		--optimizer adam --learning_rate 0.003 --mirroring False --precision bf16

$(SEGMENTATION_PHANTOMS)/datalist.json: $(VENV)/.stamp-base
	$(BIN)/python scripts/make_phantoms.py breast_dce --output $(SEGMENTATION_PHANTOMS)/raw --num 72 --first 5000 \
		--format nifti --num_phases 1
	$(BIN)/python scripts/prepare_data.py mama_mia --source $(SEGMENTATION_PHANTOMS)/raw \
		--output $(SEGMENTATION_PHANTOMS) --fractions "(0.7,0,0.3)" --num_phases 1

# The figures of the bundles' docs, by the shipped weights on the held-out phantoms of `make weights`.
evaluate: evaluate-brain evaluate-dce evaluate-mip evaluate-mammogram evaluate-segmentation

evaluate-brain: $(VENV)/.stamp-base
	$(RUN) "['$(BRAIN)/inference.json','$(BRAIN)/evaluate.json']" \
		--input $(BRAIN_PHANTOMS)/datalist.json --output_dir runs/brain_tumor_evaluation
	$(RUN) "['$(BRAIN)/inference.json','$(BRAIN)/evaluate.json','$(BRAIN)/steps.json']" \
		--input $(BRAIN_PHANTOMS)/datalist.json --output_dir runs/brain_tumor_steps

evaluate-dce: $(VENV)/.stamp-base
	$(RUN) "['$(DCE)/inference.json','$(DCE)/evaluate.json']" \
		--input $(DCE_PHANTOMS)/datalist.json --output_dir runs/breast_dce_evaluation --paper_compat True

evaluate-mip: $(VENV)/.stamp-base
	$(RUN) "['$(MIP)/inference.json','$(MIP)/evaluate.json']" \
		--input $(MIP_PHANTOMS)/datalist.json --output_dir runs/breast_mip_evaluation
	$(RUN) "['$(MIP)/inference.json','$(MIP)/evaluate.json','$(MIP)/steps.json']" \
		--input $(MIP_PHANTOMS)/datalist.json --output_dir runs/breast_mip_steps \
		--max_cases 16 --batch_size 16 --step_settings "[['ddim',200],['dpm',10],['dpm',20]]"

evaluate-mammogram: $(VENV)/.stamp-base
	$(BIN)/python scripts/make_phantoms.py mammogram --output $(MAMMOGRAM_PHANTOMS)_unseen/raw --num 24 --first 20000 \
		--withheld True
	$(BIN)/python scripts/prepare_data.py vindr --source $(MAMMOGRAM_PHANTOMS)_unseen/raw \
		--output $(MAMMOGRAM_PHANTOMS)_unseen --size 256 --split leak_free --fractions "(0,0,1)"
	$(RUN) "['$(MAMMOGRAM)/generate.json','$(MAMMOGRAM)/evaluate.json']" \
		--input $(MAMMOGRAM_PHANTOMS)/datalist.json --unseen_input $(MAMMOGRAM_PHANTOMS)_unseen/datalist.json \
		--output_dir runs/mammogram_evaluation
	$(RUN) "['$(MAMMOGRAM)/generate.json','$(MAMMOGRAM)/evaluate.json','$(MAMMOGRAM)/guidance.json']" \
		--input $(MAMMOGRAM_PHANTOMS)/datalist.json --output_dir runs/mammogram_guidance

evaluate-segmentation: $(VENV)/.stamp-base $(SEGMENTATION_PHANTOMS)/datalist.json
	$(RUN) "['$(SEGMENTATION)/inference.json','$(SEGMENTATION)/evaluate.json']" \
		--input $(SEGMENTATION_PHANTOMS)/datalist.json --output_dir runs/segmentation_evaluation --precision bf16

# The generated blocks of the bundles' docs, from the reports of `make evaluate`.
cards: $(VENV)/.stamp-base
	$(CARD) runs/brain_tumor_evaluation/report.json --bundle bundles/brain_tumor_multicontrast_diffusion --tables \
		"['Reconstruction','Adherence to the mask','Order of intensities','Distribution','Diversity','Memorisation']"
	$(CARD) runs/breast_dce_evaluation/report.json --bundle bundles/breast_dce_contrast_gan --tables "['Images', \
		'Subtraction images','Lesion boxes, per case','Lesion boxes, pooled','Missed lesions and false enhancement', \
		'Order of phases','Contrast kinetics','Curve types','Distribution','Memorisation']"
	$(CARD) runs/breast_mip_evaluation/report.json --bundle bundles/breast_mip_lesion_diffusion --tables "['MS-SSIM', \
		'Distribution','Adherence to the mask','Lesions that nobody asked for','Class agreement', \
		'Class agreement of samples against real images','Confusion of classes, real images', \
		'Confusion of classes, samples','Reconstruction','Memorisation']"
	$(CARD) runs/mammogram_evaluation/report.json --bundle bundles/mammogram_stable_diffusion --tables \
		"['Attribute agreement','Combinations never seen','Contrast of painted lesions','Classifier of malignancy', \
		'Where the classifier looks','MS-SSIM','Distribution','Memorisation']"
	$(CARD) runs/segmentation_evaluation/report.json --bundle bundles/breast_dce_tumor_segmentation \
		--tables "['All cases']"

clean:
	rm -rf demo outputs
