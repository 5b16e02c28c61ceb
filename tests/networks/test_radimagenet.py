"""RadImageNet's and MedicalNet's networks against MONAI's ResNet, changed to the same arithmetic."""

import pytest
import torch
from monai.networks.nets import ResNet

from common.errors import InputError
from common.networks.medicalnet import load_medicalnet, standardize_volumes
from common.networks.radimagenet import PARTS, center_and_resize, load_radimagenet, subtract_means
from common.networks.residual_backbone import FreeShortcut

from .seeded_weights import seeded_state

PLANES = [64, 128, 256, 512]


def monai_resnet(dims, channels, block="bottleneck", layers=(3, 4, 6, 3), shortcut="B"):
    network = ResNet(
        block, list(layers), PLANES, spatial_dims=dims, n_input_channels=channels, conv1_t_stride=2,
        shortcut_type=shortcut, feed_forward=False, bias_downsample=False,
    )  # fmt: skip
    network.load_state_dict(seeded_state(network.state_dict()))
    return network.eval()


def monai_map(network, images):
    """MONAI's network up to its last map."""
    with torch.no_grad():
        x = network.maxpool(network.act(network.bn1(network.conv1(images))))
        return network.layer4(network.layer3(network.layer2(network.layer1(x))))


def relative(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


def test_authors_file_equals_torchvisions_resnet50(tmp_path):
    oracle = monai_resnet(2, 3)
    numbers = {part: number for number, part in PARTS.items()}
    state = {f"backbone.{numbers[k.split('.')[0]]}.{k.split('.', 1)[1]}": v for k, v in oracle.state_dict().items()}
    assert "backbone.0.weight" in state
    assert "backbone.4.0.downsample.1.running_mean" in state
    torch.save(state, tmp_path / "ResNet50.pt")
    network, prepare = load_radimagenet(tmp_path / "ResNet50.pt")
    images = torch.rand(2, 1, 50, 64, generator=torch.Generator().manual_seed(0))
    prepared = prepare(images)
    assert prepare is center_and_resize
    assert prepared.shape == (2, 3, 224, 224)
    assert network(prepared).shape == (2, 2048, 7, 7)
    assert relative(network(prepared), monai_map(oracle, prepared)) < 1e-5


def test_keras_layout_has_early_strides_and_biases(tmp_path):
    oracle = monai_resnet(2, 3)
    state = {key: value for key, value in oracle.state_dict().items() if not key.endswith("num_batches_tracked")}
    generator = torch.Generator().manual_seed(3)
    for key in [k for k in state if k.endswith("weight") and state[k].ndim == 4]:
        # A bias before a batch norm is the same as a smaller running mean.
        bias = 0.1 * torch.randn(len(state[key]), generator=generator)
        norm = key.removesuffix("weight").replace("conv", "bn").replace("downsample.0", "downsample.1")
        state[key.removesuffix("weight") + "bias"] = bias
        oracle.state_dict()[norm + "running_mean"].sub_(bias)
    state = {k: v if k.endswith("bias") else v.clone() for k, v in state.items()}
    saved = {
        **{k: v for k, v in state.items() if not k.endswith("running_mean")},
        **{k: v for k, v in seeded_state(oracle.state_dict()).items() if k.endswith("running_mean")},
    }
    for level in (oracle.layer2, oracle.layer3, oracle.layer4):
        level[0].conv1.stride, level[0].conv2.stride = (2, 2), (1, 1)
    for module in oracle.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1.001e-5
    torch.save(saved, tmp_path / "RadImageNet-ResNet50_notop.pth")
    network, prepare = load_radimagenet(tmp_path / "RadImageNet-ResNet50_notop.pth")
    assert prepare is subtract_means
    images = prepare(torch.rand(2, 1, 50, 64, generator=torch.Generator().manual_seed(0)))
    assert relative(network(images), monai_map(oracle, images)) < 1e-5


def test_means_are_taken_off_in_the_order_blue_green_red():
    assert subtract_means(torch.full((1, 1, 1, 1), 0.5)).flatten().tolist() == pytest.approx([0.094, 0.044, 0.015])
    assert center_and_resize(torch.ones(1, 1, 3, 3)).unique().tolist() == [1.0]


@pytest.mark.parametrize(
    ("block", "layers", "shortcut", "features"),
    [("basic", (1, 1, 1, 1), "B", 512), ("basic", (2, 2, 2, 2), "A", 512), ("bottleneck", (1, 2, 1, 1), "B", 2048)],
    ids=["resnet10", "resnet18", "bottleneck"],
)
def test_medicalnet_is_dilated_and_its_depth_is_read_off_the_file(tmp_path, block, layers, shortcut, features):
    oracle = monai_resnet(3, 1, block, layers, shortcut)
    torch.save({"state_dict": {f"module.{k}": v for k, v in oracle.state_dict().items()}}, tmp_path / "net.pth")
    for level, dilation in ((oracle.layer3, 2), (oracle.layer4, 4)):
        for module in level.modules():
            if isinstance(module, torch.nn.Conv3d):
                module.stride = (1, 1, 1)
                if module.kernel_size == (3, 3, 3):
                    module.dilation = module.padding = (dilation,) * 3
        if shortcut == "A":
            level[0].downsample.keywords["stride"] = 1
    network = load_medicalnet(tmp_path / "net.pth")
    volumes = standardize_volumes(torch.rand(2, 1, 24, 32, 17, generator=torch.Generator().manual_seed(0)))
    assert network.num_features == features
    assert network(volumes).shape == (2, features, 3, 4, 3)
    assert relative(network(volumes), monai_map(oracle, volumes)) < 1e-5


def test_free_shortcut_by_hand():
    x = torch.arange(5.0).view(1, 1, 5, 1, 1)
    assert FreeShortcut(added=1, stride=2)(x).flatten().tolist() == [0.0, 2.0, 4.0, 0.0, 0.0, 0.0]


def test_volumes_are_standardised_each_by_itself():
    volumes = torch.stack([torch.arange(8.0), 10 * torch.arange(8.0) + 3, torch.ones(8)]).view(3, 1, 2, 2, 2)
    found = standardize_volumes(volumes)
    assert torch.allclose(found[0], found[1], atol=1e-6)
    assert float(found[0].std()) == pytest.approx(1.0)
    assert found[2].abs().max() == 0


def test_other_files_are_refused(tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    for load in (load_radimagenet, load_medicalnet):
        with pytest.raises(InputError, match="other.pt"):
            load(tmp_path / "other.pt")
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match="truncated"):
        load_radimagenet(tmp_path / "cut.pt")
