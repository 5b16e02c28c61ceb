import itertools

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from common.cohorts.mammogram_prompts import FORMS, PRIORITIES, MammogramAttributes, compose, words
from common.errors import InputError
from common.networks.prompt_tokenizer import load_tokenizer, make_tokenizer, save_tokenizer, token_ids

SENTENCE = "a siemens mammogram in MLO view with high density and small area, with malignant calcifications"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tokenizer(make_tokenizer(words()), tmp_path_factory.mktemp("tokens") / "tokenizer")


def sentences():
    lesions = [("none", None), ("mass", "benign"), ("calcification", "malignant"), ("lesion", None)]
    slots = (("CC", "MLO", "LM", "ML"), ("hologic", "siemens"), "ABCD", ("small", "medium", "big"), lesions)
    for view, vendor, density, area, (lesion, pathology) in itertools.product(*slots):
        attributes = MammogramAttributes(view, vendor, density, area, lesion, pathology, magnified=area == "big")
        yield from (compose(attributes, priority) for priority in PRIORITIES)
        yield from (compose(attributes, form=form) for form in FORMS if lesion != "none" or form in FORMS[:5])


def test_every_word_of_every_sentence_is_one_token(folder):
    tokenizer = load_tokenizer(folder)
    for prompt in set(sentences()):
        spelled = tokenizer.convert_ids_to_tokens(tokenizer(prompt).input_ids)
        assert spelled == ["<begin>", *prompt.lower().replace(",", " ,").split(), "<end>"]
    for word in words():
        assert tokenizer(word, add_special_tokens=False).input_ids == [4 + words().index(word)]


def test_the_folder_is_read_by_transformers_alone_and_has_the_same_bytes_each_time(folder, tmp_path):
    again = save_tokenizer(make_tokenizer(words()), tmp_path / "again")
    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted(path.name for path in again.iterdir()) and "tokenizer.json" in files
    assert all((folder / name).read_bytes() == (again / name).read_bytes() for name in files)
    used = load_tokenizer(folder)
    token_ids(used, [SENTENCE])
    save_tokenizer(used, again)
    plain = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert plain.model_max_length == 77
    for tokenizer in (plain, AutoTokenizer.from_pretrained(again, local_files_only=True), make_tokenizer(words())):
        assert torch.equal(token_ids(tokenizer, [SENTENCE, ""]), token_ids(used, [SENTENCE, ""]))


def test_token_ids_are_padded_rows(folder):
    ids = token_ids(load_tokenizer(folder), ["a mammogram", "", "A  Mammogram with a LESION"])
    assert ids.shape == (3, 77) and ids.dtype == torch.int64
    a, mammogram, lesion, with_ = (4 + words().index(word) for word in ("a", "mammogram", "lesion", "with"))
    assert ids[0, :5].tolist() == [1, a, mammogram, 2, 0] and not ids[0, 4:].any()
    assert ids[1, :3].tolist() == [1, 2, 0]
    assert ids[2, :8].tolist() == [1, a, mammogram, with_, a, lesion, 2, 0]


def test_a_prompt_that_would_be_cut_is_refused_with_its_length(folder):
    tokenizer = load_tokenizer(folder)
    assert token_ids(tokenizer, ["a " * 75])[0, -1] == 2
    with pytest.raises(InputError, match="prompt has 93 tokens, the text encoder reads 75; shorten it"):
        token_ids(tokenizer, ["a mammogram", "a " * 93])
    short = make_tokenizer(words(), max_length=8)
    assert token_ids(short, ["a mammogram in MLO view"]).shape == (1, 8)
    with pytest.raises(InputError, match="prompt has 7 tokens, the text encoder reads 6"):
        token_ids(short, ["a siemens mammogram in MLO view with"])


def test_an_unknown_word_is_refused_with_the_nearest(folder):
    with pytest.raises(InputError, match="does not know 'hgh'; did you mean 'high'"):
        token_ids(load_tokenizer(folder), ["a mammogram with hgh density"])
    with pytest.raises(InputError, match="does not know 'Simens'; did you mean 'siemens'"):
        token_ids(load_tokenizer(folder), ["a Simens mammogram"])


def test_a_tokenizer_that_spells_words_refuses_none(tmp_path):
    """CLIP's kind: byte pairs, its end token also named as the unknown one."""
    letters = [*"abdeghimnorstwy"]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    clip = CLIPTokenizer({token: number for number, token in enumerate(tokens)}, [], model_max_length=77)
    clip.save_pretrained(tmp_path / "tokenizer")
    loaded = load_tokenizer(tmp_path / "tokenizer")
    assert token_ids(loaded, ["a hgh density"]).shape == (1, 77)
    with pytest.raises(InputError, match="prompt has 76 tokens, the text encoder reads 75"):
        token_ids(loaded, ["density " * 10 + "a a a a a a"])


def test_it_serves_a_diffusers_pipeline_that_is_saved_and_loaded(folder, tmp_path):
    torch.manual_seed(0)
    tokenizer = load_tokenizer(folder)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    specials = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    text = CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), projection_dim=8, **sizes, **specials))
    blocks = {"block_out_channels": (4,), "norm_num_groups": 1, "layers_per_block": 1}
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=8,
        attention_head_dim=2,
        **blocks,
    )
    vae = AutoencoderKL(latent_channels=4, **blocks)
    pipeline = StableDiffusionPipeline(
        vae, text, tokenizer, unet, DDIMScheduler(), None, None, requires_safety_checker=False
    )
    pipeline.save_pretrained(tmp_path / "pipeline")
    loaded = StableDiffusionPipeline.from_pretrained(tmp_path / "pipeline", local_files_only=True)
    with torch.no_grad():
        told, _ = loaded.encode_prompt(SENTENCE, "cpu", 1, False)
        expected = text(token_ids(tokenizer, [SENTENCE])).last_hidden_state
    assert torch.allclose(told, expected, atol=1e-6)
    again = load_tokenizer(tmp_path / "pipeline" / "tokenizer")
    assert torch.equal(token_ids(again, [SENTENCE]), token_ids(tokenizer, [SENTENCE]))


def test_what_is_no_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_tokenizer(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot be loaded"):
        load_tokenizer(tmp_path / "empty")
    for wrong in (["two words"], ["Mammogram"], ["a", "a"], ["half-tone"]):
        with pytest.raises(InputError, match="vocabulary"):
            make_tokenizer(wrong)
