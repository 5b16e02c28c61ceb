"""Published VQ-GAN checkpoints, written by a plain torch network in the published naming, load into ours."""

import sys
import types

import pytest
import torch
from torch import nn
from torch.nn import functional

from common.errors import InputError
from common.networks.vqgan import VQGAN
from common.networks.vqgan_weights import LIGHTNING_CALLBACK, initialize_vqgan, load_vqgan, published_names
from common.weights import save_weights

SIZES = {"channels": (8, 16, 32), "norm_num_groups": 4, "num_embeddings": 64}


def norm(width):
    return nn.GroupNorm(4, width, eps=1e-6)  # groups of one channel would cancel the bias before them


class Block(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.norm1, self.conv1 = norm(before), nn.Conv2d(before, after, 3, padding=1)
        self.norm2, self.conv2 = norm(after), nn.Conv2d(after, after, 3, padding=1)
        if before != after:
            self.nin_shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x):
        change = self.conv1(functional.silu(self.norm1(x)))
        change = self.conv2(functional.silu(self.norm2(change)))
        return change + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class Resample(nn.Module):
    def __init__(self, width, stride):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(width, width, 3, stride=stride, padding=0 if stride == 2 else 1)

    def forward(self, x):
        if self.stride == 2:
            return self.conv(functional.pad(x, (0, 1, 0, 1)))
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    def __init__(self, before, after, blocks, resample, stride):
        super().__init__()
        self.block = nn.ModuleList(Block(before if i == 0 else after, after) for i in range(blocks))
        if resample:
            setattr(self, "downsample" if stride == 2 else "upsample", Resample(after, stride))

    def forward(self, x):
        for part in (*self.block, *(m for n, m in self.named_children() if n.endswith("sample"))):
            x = part(x)
        return x


class Middle(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.block_1, self.block_2 = Block(width, width), Block(width, width)

    def forward(self, x):
        return self.block_2(self.block_1(x))


class Half(nn.Module):
    """Encoder (`down`) or decoder (`up`, its levels stored from fine to coarse as well)."""

    def __init__(self, kind, channels, inputs, outputs):
        super().__init__()
        self.kind, top = kind, len(channels) - 1
        if kind == "down":
            self.conv_in = nn.Conv2d(inputs, channels[0], 3, padding=1)
            befores = [channels[0], *channels[:-1]]
            levels = [Level(b, a, 2, i < top, 2) for i, (b, a) in enumerate(zip(befores, channels, strict=True))]
        else:
            self.conv_in = nn.Conv2d(inputs, channels[-1], 3, padding=1)
            befores = [*channels[1:], channels[-1]]
            levels = [Level(b, a, 3, i > 0, 1) for i, (b, a) in enumerate(zip(befores, channels, strict=True))]
        setattr(self, kind, nn.ModuleList(levels))
        self.mid = Middle(channels[-1])
        width = channels[-1] if kind == "down" else channels[0]
        self.norm_out, self.conv_out = norm(width), nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, x):
        order = [*self.down, self.mid] if self.kind == "down" else [self.mid, *reversed(self.up)]
        x = self.conv_in(x)
        for part in order:
            x = part(x)
        return self.conv_out(functional.silu(self.norm_out(x)))


class Published(nn.Module):
    def __init__(self, channels=SIZES["channels"], entries=SIZES["num_embeddings"]):
        super().__init__()
        self.encoder, self.decoder = Half("down", channels, 1, 3), Half("up", channels, 3, 1)
        self.quantize = nn.Module()
        self.quantize.embedding = nn.Embedding(entries, 3)
        self.quant_conv, self.post_quant_conv = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        for parameter in self.parameters():  # norms' scales and shifts included; signals keep their size
            spread = 0.3 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
            nn.init.normal_(parameter, 0.0, spread)

    def encode(self, image):
        return self.quant_conv(self.encoder(image))

    def decode(self, latent):
        vectors = latent.movedim(1, -1)
        nearest = torch.cdist(vectors.flatten(0, 2).double(), self.quantize.embedding.weight.double()).argmin(1)
        quantized = self.quantize.embedding(nearest).view_as(vectors).movedim(-1, 1)
        return self.decoder(self.post_quant_conv(quantized))


@pytest.fixture
def published():
    torch.manual_seed(0)
    return Published().eval()


def autoencoder_checkpoint(published):
    losses = {"loss.discriminator.main.0.weight": torch.rand(3), "loss.perceptual_loss.lin0.weight": torch.rand(3)}
    state = {**published.state_dict(), **losses}
    return {"epoch": 188, "global_step": 23_000, "pytorch-lightning_version": "1.4.2", "state_dict": state}


def diffusion_checkpoint(published):
    state = {f"first_stage_model.{key}": value for key, value in published.state_dict().items()}
    others = {
        "betas": torch.rand(3),
        "model.diffusion_model.out.2.bias": torch.rand(3),
        "cond_stage_model.x": torch.rand(1),
    }
    return {"epoch": 375, "state_dict": {**others, **state}}


@torch.no_grad()
def assert_same_network(ours, theirs):
    image = torch.rand(2, 1, 32, 48) * 2 - 1
    latent = theirs.encode(image)
    assert torch.allclose(ours.encode(image)[0], latent, atol=1e-5)
    assert torch.allclose(ours.decode(latent), theirs.decode(latent), atol=1e-5)


@pytest.mark.parametrize("wrap", [nn.Module.state_dict, autoencoder_checkpoint, diffusion_checkpoint])
def test_published_weights_give_the_published_output(published, wrap, tmp_path):
    torch.save(wrap(published), tmp_path / "model.ckpt")
    assert_same_network(load_vqgan(VQGAN(**SIZES), tmp_path / "model.ckpt"), published)


def test_checkpoint_that_names_lightnings_callback_loads_without_lightning(published, tmp_path, monkeypatch):
    module, name = LIGHTNING_CALLBACK.rsplit(".", 1)
    callback = type(name, (), {"__module__": module})
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
    setattr(sys.modules[module], name, callback)
    checkpoint = autoencoder_checkpoint(published)
    torch.save({**checkpoint, "callbacks": {callback: {"best_model_score": torch.rand(1)}}}, tmp_path / "model.ckpt")
    monkeypatch.undo()
    assert_same_network(load_vqgan(VQGAN(**SIZES), tmp_path / "model.ckpt"), published)


def test_every_published_weight_is_named_once_and_matters(published):
    ours, state = VQGAN(**SIZES).eval(), published.state_dict()
    names = published_names(ours)
    assert set(names) == set(state)
    assert set(names.values()) == set(ours.state_dict())
    ours.load_state_dict({names[key]: value for key, value in state.items()})
    image = torch.rand(1, 1, 16, 16)

    @torch.no_grad()
    def outputs():
        latent = ours.encode(image)[0]
        return torch.cat([latent.flatten(), ours.decode_quantized(latent).flatten(), ours.decode(latent).flatten()])

    before = outputs()
    for key, parameter in ours.named_parameters():
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter.add_(torch.randn_like(parameter))
        assert (outputs() - before).abs().max() > 1e-3, key
        parameter.data.copy_(kept)
    assert torch.equal(outputs(), before)


def test_default_size_is_named_completely():
    with torch.device("meta"):
        ours, theirs = VQGAN(), Published((32, 64, 128), 8192)
    names = published_names(ours)
    state = theirs.state_dict()
    assert {key: state[key].shape for key in names} == {k: ours.state_dict()[v].shape for k, v in names.items()}
    assert set(state) == set(names)


def test_what_does_not_fit_is_named_in_one_line(published, tmp_path):
    file = tmp_path / "model.ckpt"
    torch.save({**published.state_dict(), "encoder.mid.attn_1.q.weight": torch.rand(1)}, file)
    with pytest.raises(InputError, match=r"1 entries, first: encoder\.mid\.attn_1\.q\.weight not in the network"):
        load_vqgan(VQGAN(**SIZES), file)
    torch.save({"state_dict": published.state_dict()}, file)
    with pytest.raises(InputError, match=r"quantizer\.embedding\.weight is \(64, 3\), the network has \(32, 3\)"):
        load_vqgan(VQGAN(**{**SIZES, "num_embeddings": 32}), file)
    state = published.state_dict()
    del state["decoder.up.1.block.2.norm2.bias"]
    torch.save(state, file)
    with pytest.raises(InputError, match=r"decoder\.blocks\.10\.norm2\.bias missing"):
        load_vqgan(VQGAN(**SIZES), file)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(InputError, match="cannot be loaded"):
        load_vqgan(VQGAN(**SIZES), file)
    torch.save([1, 2], file)
    with pytest.raises(InputError, match="no state dict"):
        load_vqgan(VQGAN(**SIZES), file)
    with pytest.raises(InputError, match="no such file"):
        load_vqgan(VQGAN(**SIZES), tmp_path / "missing.ckpt")


@pytest.mark.parametrize("prefix", ["", "autoencoder."])
def test_own_weights_come_back(prefix, tmp_path):
    network, image = VQGAN(**SIZES), torch.rand(1, 1, 16, 16)
    save_weights(network, tmp_path / "model.pt", prefix=prefix, half=False)
    other = initialize_vqgan(VQGAN(**SIZES), tmp_path / "model.pt")
    assert torch.equal(network(image)[0], other(image)[0])
    assert initialize_vqgan(network, None) is network
