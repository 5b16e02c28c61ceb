import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel

from common.cohorts.mammogram_prompts import words
from common.errors import InputError
from common.networks.diffusers_folder import (
    find_tokenizer,
    is_pipeline,
    load_pipeline,
    load_text_diffusion,
    save_pipeline,
    weights_identity,
    widen_unet,
)
from common.networks.gray_autoencoder import GrayAutoencoder
from common.networks.prompt_tokenizer import make_tokenizer, token_ids
from common.networks.text_diffusion import TextConditionedDenoiser, TextConditionedLatentDiffusion, pool_mask
from common.networks.training_start import merge_adapters, start_text_diffusion
from common.sampling.latent_sampler import LatentDiffusionSampler

SCHEDULE = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
PROMPT = "a siemens mammogram in MLO view"


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(words(), 32)


def unet(channels=9):
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        out_channels=4,
        down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
        block_out_channels=[16, 16],
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=16,
        norm_num_groups=4,
    )


def vae(channels=3):
    return AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[8, 8],
        norm_num_groups=4,
        latent_channels=4,
        sample_size=16,
    )


def composite(tokenizer, channels=9, image_channels=3, patch_size=1, measured=True):
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    network = TextConditionedLatentDiffusion(
        GrayAutoencoder(vae(image_channels), patch_size),
        TextConditionedDenoiser(CLIPTextModel(config), unet(channels)),
        DDPMScheduler.from_config(SCHEDULE, clip_sample=False, steps_offset=1),
        token_ids(tokenizer, [PROMPT]),
        token_ids(tokenizer, [""]),
    )
    if measured:
        network.latent_shift.copy_(torch.tensor([0.1, -0.2, 0.3, 0.0]).view(1, 4, 1, 1))
        network.latent_scale.copy_(torch.tensor([1.1, 0.8, 2.0, 1.0]).view(1, 4, 1, 1))
    return network.eval()


def sampler(network, **options):
    scheduler = DPMSolverMultistepScheduler.from_config(network.noise_schedule)
    return LatentDiffusionSampler(scheduler, num_steps=3, progress=False, **options)


def case(mask_ones=False):
    image = torch.linspace(-1, 1, 16 * 16).view(1, 1, 16, 16)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:9, 5:12] = 1
    return torch.cat([torch.zeros_like(image), torch.ones_like(mask)] if mask_ones else [image, mask], 1)


def test_one_channel_goes_in_as_equal_ones_and_comes_back_as_their_mean():
    torch.manual_seed(0)
    network = vae(3).eval()
    gray = GrayAutoencoder(network)
    image = torch.rand(2, 1, 16, 16) * 2 - 1
    with torch.no_grad():
        mean, std = gray.encode(image)
        expected = network.encode(image.repeat(1, 3, 1, 1)).latent_dist
        assert torch.equal(mean, expected.mean) and torch.equal(std, expected.std)
        assert torch.allclose(gray.decode(mean), network.decode(mean).sample.mean(1, keepdim=True))
    assert gray.factor == 2


def test_folded_pixels_come_back_in_their_places():
    torch.manual_seed(0)
    gray = GrayAutoencoder(vae(4), 2)
    with torch.no_grad():
        assert gray.factor == 4
        image = torch.rand(1, 1, 16, 16)
        assert gray.encode(image)[0].shape == (1, 4, 4, 4) and gray.decode(gray.encode(image)[0]).shape == image.shape
    with pytest.raises(InputError, match="needs 4 channels"):
        GrayAutoencoder(vae(3), 2)


@pytest.mark.parametrize("side", [1, 3, 5, 7])
def test_no_small_mask_vanishes_on_the_latent_grid(side):
    """Nearest sampling keeps a box of 5 pixels at 25 of 64 places only, one of 7 at 49."""
    kept = nearest = 0
    for row in range(8):
        for column in range(8):
            mask = torch.zeros(1, 1, 32, 32)
            mask[..., 8 + row : 8 + row + side, 8 + column : 8 + column + side] = 1
            kept += bool(pool_mask(mask, 8).any())
            nearest += bool(torch.nn.functional.interpolate(mask, (4, 4)).any())
    assert kept == 64
    assert nearest == side**2


def test_plane_holds_mask_and_the_masked_image(tokenizer):
    network = composite(tokenizer)
    inputs = case()
    with torch.no_grad():
        plane = network.plane(inputs)
        other = inputs.clone()
        other[:, 0, 5:8, 6:11] = 0.7  # what the mask covers cannot be seen
        assert torch.equal(plane, network.plane(other))
        grey = inputs[:, :1] * (1 - inputs[:, 1:])
        expected = (network.encode(grey)[0] - network.latent_shift) / network.latent_scale
    assert plane.shape == (1, 5, 8, 8)
    assert torch.allclose(plane[:, 1:], expected)
    assert plane[0, 0, 2:5, 2:6].eq(1).all() and plane[0, 0].sum() == 12


def test_a_unet_of_four_channels_generates_and_refuses_to_inpaint(tokenizer):
    network = composite(tokenizer, channels=4)
    assert not network.paints
    with torch.no_grad():
        assert network.plane(case(mask_ones=True)).shape == (1, 0, 8, 8)
        assert network(case(mask_ones=True)).shape == (1, 1, 16, 16)
    with pytest.raises(InputError, match="not inpaint"):
        network.plane(case())
    with pytest.raises(InputError, match="takes 5 channels"):
        _ = composite(tokenizer, channels=5).paints


def test_the_prompt_and_the_negative_prompt_steer_the_sample(tokenizer):
    network = composite(tokenizer)
    ids, others = (token_ids(tokenizer, [text]) for text in ("a mammogram with a mass", "a hologic mammogram"))
    draw = {"inputs": case(), "network": network, "seeds": [3]}
    plain = sampler(network)(**draw, token_ids=ids)
    assert torch.equal(plain, sampler(network)(**draw, token_ids=ids))
    assert not torch.equal(plain, sampler(network)(**draw, token_ids=others))
    guided = sampler(network, guidance_scale=4.0)(**draw, token_ids=ids)
    assert not torch.equal(plain, guided)
    assert not torch.equal(guided, sampler(network, guidance_scale=4.0)(**draw, token_ids=ids, negative_ids=others))
    same = sampler(network, guidance_scale=4.0)(**draw, token_ids=ids, negative_ids=ids)
    assert torch.allclose(plain, same, atol=1e-5)  # guided away from itself is not guided


def test_every_step_is_told_and_can_stop_the_sampling(tokenizer):
    network, told = composite(tokenizer), []
    inferer = sampler(network)
    inferer.on_step = lambda done, total: told.append((done, total))
    inferer(inputs=case(), network=network, seeds=[0])
    assert told == [(1, 3), (2, 3), (3, 3)]

    def stop(done, total):
        raise KeyboardInterrupt

    inferer.on_step = stop
    with pytest.raises(KeyboardInterrupt):
        inferer(inputs=case(), network=network, seeds=[0])


def test_sampling_needs_measured_latents(tokenizer):
    network = composite(tokenizer, measured=False)
    with pytest.raises(InputError, match="latent statistics"):
        sampler(network)(inputs=case(), network=network, seeds=[0])


def test_widening_keeps_the_answers(tokenizer):
    torch.manual_seed(1)
    narrow = unet(4).eval()
    latent, plane, tokens = torch.rand(1, 4, 8, 8), torch.rand(1, 5, 8, 8), torch.rand(1, 6, 16)
    with torch.no_grad():
        before = narrow(latent, 10, encoder_hidden_states=tokens).sample
        wide = widen_unet(narrow)
        after = wide(torch.cat([latent, plane], 1), 10, encoder_hidden_states=tokens).sample
    assert torch.allclose(before, after, atol=1e-6)
    assert wide.config.in_channels == 9 and wide.conv_in.weight.shape[1] == 9


@pytest.fixture(scope="module")
def pipelines(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipelines")
    return {c: save_pipeline(composite(tokenizer, c), tokenizer, folder / f"channels{c}") for c in (4, 9)}


def half(network):
    """The network as it is after its weights were stored in half precision."""
    return network.half().float()


def test_a_saved_pipeline_is_read_as_it_was(tokenizer, pipelines):
    for channels, folder in pipelines.items():
        assert is_pipeline(folder)
        network, loaded = half(composite(tokenizer, channels)), load_pipeline(folder)
        inputs = case(mask_ones=channels == 4)
        with torch.no_grad():
            assert torch.allclose(
                network.decode(torch.zeros(1, 4, 8, 8)), loaded.decode(torch.zeros(1, 4, 8, 8)), atol=2e-3
            )
            ids = token_ids(tokenizer, [PROMPT])
            assert torch.allclose(network(inputs, ids), loaded(inputs, ids), atol=1e-2)
        assert loaded.paints == (channels == 9) and loaded.image_size == 16
        assert find_tokenizer("nowhere", folder)(PROMPT).input_ids == tokenizer(PROMPT).input_ids


def decoded(pipeline, latent):
    """A pipeline's latent as an image of one channel, not cut at black and white as its own pictures are."""
    with torch.no_grad():
        return pipeline.vae.decode(latent / pipeline.vae.config.scaling_factor).sample.mean(1, keepdim=True)


def test_stock_pipelines_draw_what_our_sampler_draws(pipelines):
    """diffusers' own pipelines, from the folders that we wrote, with the same start noise."""
    network = load_pipeline(pipelines[9])
    ids = find_tokenizer("nowhere", pipelines[9])
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    common = {
        "num_inference_steps": 3,
        "guidance_scale": 4.0,
        "latents": noise,
        "output_type": "latent",
        "height": 16,
        "width": 16,
    }

    stock = StableDiffusionPipeline.from_pretrained(pipelines[4], safety_checker=None, torch_dtype=torch.float32)
    stock.scheduler = DPMSolverMultistepScheduler.from_config(stock.scheduler.config)
    stock.set_progress_bar_config(disable=True)
    theirs = decoded(stock, stock(PROMPT, **common).images)
    generator = load_pipeline(pipelines[4])
    ours = sampler(generator, guidance_scale=4.0)(
        inputs=case(mask_ones=True), network=generator, seeds=[5], token_ids=token_ids(ids, [PROMPT])
    )
    assert torch.allclose(theirs, ours, atol=1e-4)

    painter = StableDiffusionInpaintPipeline.from_pretrained(
        pipelines[9], safety_checker=None, torch_dtype=torch.float32
    )
    painter.scheduler = DPMSolverMultistepScheduler.from_config(painter.scheduler.config)
    painter.set_progress_bar_config(disable=True)
    # A mask whose edges lie on the latent grid, where nearest and any-hit pooling agree; latents by their mean.
    inputs = case()
    inputs[:, 1] = 0
    inputs[:, 1, 4:10, 4:12] = 1
    painter._encode_vae_image = lambda image, generator: (
        painter.vae.encode(image).latent_dist.mean * painter.vae.config.scaling_factor
    )
    image = inputs[:, :1].repeat(1, 3, 1, 1)
    theirs = decoded(painter, painter(PROMPT, image=image, mask_image=inputs[:, 1:], **common).images)
    ours = sampler(network, guidance_scale=4.0)(
        inputs=inputs, network=network, seeds=[5], token_ids=token_ids(ids, [PROMPT])
    )
    assert torch.allclose(theirs, ours, atol=1e-4)


def test_a_folder_without_a_part_is_named(pipelines, tmp_path):
    import shutil

    shutil.copytree(pipelines[9], tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken" / "unet")
    with pytest.raises(InputError, match="has no folder unet"):
        load_pipeline(tmp_path / "broken")
    shutil.copytree(pipelines[9], tmp_path / "cut")
    weights = tmp_path / "cut" / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="its vae cannot be loaded"):
        load_pipeline(tmp_path / "cut")


def test_a_hub_is_not_asked_when_offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="nobody/nothing"):
        load_pipeline("nobody/nothing", "0" * 40)


def test_weights_name_themselves(pipelines, tmp_path):
    assert len(weights_identity(pipelines[9])) == 64
    assert weights_identity(pipelines[9]) != weights_identity(pipelines[4])
    assert weights_identity("owner/name", "abc") == "owner/name@abc"
    file = tmp_path / "model.pt"
    file.touch()
    assert weights_identity(file) is None


def test_training_starts_from_a_pipeline(tokenizer, pipelines):
    network = composite(tokenizer)
    started = start_text_diffusion(network, "none", pretrained=str(pipelines[4]), in_channels=4)
    assert not started.paints and not any(p.requires_grad for p in started.autoencoder.parameters())
    with pytest.raises(InputError, match="--widen True"):
        start_text_diffusion(network, "none", pretrained=str(pipelines[4]), in_channels=9)
    wide = start_text_diffusion(
        network, "none", pretrained=str(pipelines[4]), in_channels=9, widen=True, train_text=False
    )
    assert wide.paints and not any(p.requires_grad for p in wide.denoiser.text_encoder.parameters())
    with pytest.raises(InputError, match="use weights for this task"):
        start_text_diffusion(network, "none", pretrained=str(pipelines[9]), in_channels=4)
    with pytest.raises(InputError, match="give a folder"):
        start_text_diffusion(network, "none", pretrained="nowhere.pt")


def test_adapters_are_trained_alone_and_merge_into_a_plain_network(tokenizer, pipelines):
    pytest.importorskip("peft")
    network = start_text_diffusion(
        composite(tokenizer), "none", pretrained=str(pipelines[9]), lora_rank=2, train_text=False
    )
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert trained and all("lora" in name for name in trained)
    inputs = case()
    with torch.no_grad():
        before = network(inputs)
        for name, parameter in network.named_parameters():
            if "lora" in name:
                parameter.add_(0.1)
        adapted = network(inputs)
        merge_adapters(network.denoiser.unet)
        merged = network(inputs)
    assert not torch.allclose(before, adapted, atol=1e-4)
    assert torch.allclose(adapted, merged, atol=1e-4)
    assert network.state_dict().keys() == composite(tokenizer).state_dict().keys()


def test_our_own_file_fills_the_network(tokenizer, tmp_path):
    from common.weights import save_weights

    network = composite(tokenizer, 9, 4, 2)
    save_weights(network, tmp_path / "model.pt")
    blank = composite(tokenizer, 9, 4, 2, measured=False)
    loaded = load_text_diffusion(blank, tmp_path / "model.pt")
    image = np.asarray(Image.new("L", (16, 16), 100), np.float32) / 127.5 - 1
    inputs = torch.stack([torch.from_numpy(image), torch.ones(16, 16)])[None]
    with torch.no_grad():
        assert torch.allclose(loaded(inputs), half(network)(inputs), atol=1e-3)
    with pytest.raises(InputError, match="patch_size"):
        save_pipeline(network, tokenizer, tmp_path / "pipeline")
