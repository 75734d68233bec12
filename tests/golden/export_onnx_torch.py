"""Writes ONNX files with PyTorch's exporters, with inputs and PyTorch's own outputs.

Usage: export_onnx_torch.py FOLDER [NAME...]. Each case is FOLDER/NAME with model.onnx, input.npy (NHWC) and expected.npy;
further outputs are expected_1.npy and so on. Needs torch 1.13 or newer, numpy, and for the newer exporter onnxscript. Names end in the exporter ("script" or "dynamo") and the opset.
"""

import os
import sys
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from export_cases import attempt
from export_pytorch import ResNet20, randomize

warnings.filterwarnings("ignore")
OLD = int(torch.__version__.split(".")[0]) < 2
NETWORKS = {}


def network(*shape, **options):
    """A network of the class, one image of `shape` (CHW)."""

    def add(make):
        NETWORKS[make.__name__] = (make, shape, options)
        return make

    return add


def conv(channels_in, channels, size=3, stride=1, **options):
    options = {"bias": False, **options}
    options.setdefault("padding", size // 2 if isinstance(size, int) else 0)
    return nn.Sequential(nn.Conv2d(channels_in, channels, size, stride, **options), nn.BatchNorm2d(channels))


class Net(nn.Module):
    """`body` and then `head`, a function."""

    def __init__(self, head, *body, features=8):
        super().__init__()
        self.body, self.linear, self.head = nn.Sequential(*body), nn.Linear(features, 5), head

    def forward(self, x):
        return self.head(self, self.body(x))


def stem():
    return conv(3, 8, 3, 2), nn.ReLU(inplace=True)


# Ways to get from an image to a row of features.
@network(3, 16, 16)
def head_mean():
    return Net(lambda net, x: net.linear(x.mean((2, 3))).softmax(1), *stem())


@network(3, 16, 16)
def head_mean_of_means():
    return Net(lambda net, x: net.linear(x.mean(3).mean(2)), *stem())


@network(3, 16, 16)
def head_mean_of_row():
    return Net(lambda net, x: net.linear(x.view(x.size(0), 8, -1).mean(2)), *stem())


@network(3, 16, 16)
def head_mean_keepdim_squeeze():
    return Net(lambda net, x: net.linear(x.mean((-2, -1), keepdim=True).squeeze(-1).squeeze(-1)), *stem())


@network(3, 16, 16)
def head_adaptive_flatten():
    return Net(lambda net, x: net.linear(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)), *stem())


@network(3, 16, 16)
def head_adaptive_view():
    return Net(lambda net, x: net.linear(F.adaptive_avg_pool2d(x, (1, 1)).view(x.size(0), -1)), *stem())


@network(3, 16, 16)
def head_pool_of_size():
    return Net(lambda net, x: net.linear(F.avg_pool2d(x, int(x.size(3))).view(x.shape[0], -1)), *stem())


@network(3, 16, 16)
def head_reshape_computed():
    return Net(lambda net, x: net.linear(F.max_pool2d(x, 8).reshape(x.shape[0], x.shape[1] * 1)), *stem())


@network(3, 16, 16)
def head_flatten_image():
    """Features of a flattened image: channel by channel in PyTorch, pixel by pixel in octet."""
    return Net(lambda net, x: net.linear(torch.flatten(F.adaptive_avg_pool2d(x, 2), 1)), *stem(), features=32)


@network(3, 10, 14)
def head_reshape_image():
    return Net(lambda net, x: net.linear(x.reshape(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3])), *stem(), features=280)


@network(3, 16, 16)
def head_convolution():
    return Net(lambda net, x: net.body[0](x.mean((2, 3), keepdim=True)).flatten(1), conv(3, 3), features=3)


@network(3, 16, 16)
def head_global_max():
    return Net(lambda net, x: net.linear(F.adaptive_max_pool2d(x, 1).flatten(1)), *stem())


@network(3, 16, 16)
def head_amax():
    return Net(lambda net, x: net.linear(x.amax((2, 3))), *stem())


@network(3, 16, 16)
def head_matmul_add():
    return Net(lambda net, x: x.mean((2, 3)) @ net.linear.weight.t() + net.linear.bias, *stem())


@network(3, 16, 16)
def head_no_bias():
    return Net(lambda net, x: F.linear(x.mean((2, 3)), net.linear.weight), *stem())


@network(3, 16, 16)
def head_addmm():
    return Net(lambda net, x: torch.addmm(net.linear.bias, x.mean((2, 3)), net.linear.weight.t(), beta=0.5, alpha=2.0), *stem())


@network(3, 16, 16)
def head_unsqueezed():
    return Net(lambda net, x: net.linear(x.mean((2, 3)).unsqueeze(1)).squeeze(1), *stem())


@network(3, 16, 16)
def head_permuted():
    """A dense layer on every pixel, as transformers write it."""
    return Net(lambda net, x: net.linear(x.permute(0, 2, 3, 1)).mean((1, 2)), *stem())


@network(3, 16, 16)
def head_two_layers():
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.linear = nn.Sequential(*stem()), nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 5))

        def forward(self, x):
            return self.linear(self.body(x).mean((2, 3)))
    return Head()


@network(3, 16, 16)
def two_outputs():
    def head(net, x):
        features = x.mean((2, 3))
        return net.linear(features), features
    return Net(head, *stem())


# Activations.
def clipped(function):
    return Net(lambda net, x: net.linear(function(x * 4).mean((2, 3))), conv(3, 8))


@network(3, 8, 8)
def relu6():
    return clipped(nn.ReLU6())


@network(3, 8, 8)
def clamp_0_6():
    return clipped(lambda x: x.clamp(0, 6))


@network(3, 8, 8)
def clamp_min_0():
    return clipped(lambda x: torch.clamp(x, min=0.0))


@network(3, 8, 8)
def hardtanh_0_6():
    return clipped(nn.Hardtanh(0.0, 6.0))


@network(3, 8, 8)
def maximum_0():
    return clipped(lambda x: torch.maximum(x, torch.tensor(0.0)))


@network(3, 8, 8)
def threshold_0():
    return clipped(lambda x: torch.minimum(F.relu(x), torch.tensor(6.0)))


# Windows.
def windows(*body, features=8):
    return Net(lambda net, x: net.linear(x.mean((2, 3))), *body, features=features)


@network(3, 33, 30)
def stem_7x7():
    return windows(conv(3, 8, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))


@network(3, 19, 18)
def pools():
    return windows(conv(3, 8, 3), nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(3, 2, 1, count_include_pad=False))


@network(3, 19, 18)
def pool_ceil_average():
    return windows(conv(3, 8, 3), nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False))


@network(3, 19, 18)
def groups_and_dilation():
    return windows(conv(3, 8), nn.ReLU(), conv(8, 8, groups=8), nn.ReLU(), conv(8, 16, groups=2), nn.ReLU(), conv(16, 8, 3, dilation=2, padding=2))


@network(3, 19, 18)
def odd_windows():
    return windows(conv(3, 8, (1, 3), (1, 2), padding=(0, 1)), nn.ZeroPad2d((1, 2, 0, 1)), conv(8, 8, 2, padding=0), nn.ConstantPad2d(1, 0.5))


@network(3, 19, 18, since=2)
def padding_same():
    return windows(conv(3, 8, 4, padding="same"), conv(8, 8, 3, padding="valid"))


@network(3, 16, 16)
def slices():
    return windows(conv(3, 8), Apply(lambda x: x[:, 2:6, 1::2, :-2]), features=4)


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


# Blocks.
class Residual(nn.Module):
    def __init__(self, branch, shortcut=None, before=None):
        super().__init__()
        self.branch, self.shortcut, self.before = branch, shortcut or nn.Identity(), before or nn.Identity()
        self.sum = torch.ao.nn.quantized.FloatFunctional()  # An addition that quantization-aware training sees.

    def forward(self, x):
        x = self.before(x)
        return self.sum.add(self.branch(x), self.shortcut(x))


@network(3, 32, 32)
def shortcut_a():
    return ResNet20()


@network(3, 16, 16)
def preactivation():
    def block(channels_in, channels, stride):
        before = nn.Sequential(nn.BatchNorm2d(channels_in), nn.ReLU())
        branch = nn.Sequential(nn.Conv2d(channels_in, channels, 3, stride, 1), nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, 1, 1))
        return Residual(branch, nn.Conv2d(channels_in, channels, 1, stride) if stride > 1 else None, before)
    return windows(nn.Conv2d(3, 8, 3, 1, 1), block(8, 8, 1), block(8, 12, 2), nn.BatchNorm2d(12), nn.ReLU(), features=12)


@network(3, 16, 16)
def dense_block():
    class Concat(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = conv(8, 4)

        def forward(self, x):
            return torch.cat([x, F.relu(self.branch(x)), x.chunk(2, 1)[0]], 1)
    return windows(conv(3, 8), nn.ReLU(), Concat(), features=16)


@network(3, 16, 16)
def scales():
    """Layer scale, learned bias, residual scaling, a sum of three."""
    class Scales(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.bias = nn.Parameter(torch.rand(8, 1, 1) + 0.5), nn.Parameter(torch.randn(1, 8, 1, 1))
            self.factor = nn.Parameter(torch.tensor(0.3))

        def forward(self, x):
            return (x * self.scale + self.bias) / 1.7 - self.factor * x + (2.0 - x) * x
    return windows(conv(3, 8), nn.ReLU(), Scales(), nn.ReLU())


@network(3, 16, 16, pixels=True)
def normalizes():
    """Preprocessing inside of the network."""
    def norm(x):
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        return (x / 255 - mean.view(1, 3, 1, 1)) / std.view(3, 1, 1)
    return windows(Apply(norm), *stem())


@network(3, 16, 16, pixels=True, byte=True)
def bytes_in():
    return windows(Apply(lambda x: x.float().div(255).sub(0.5)), *stem())


@network(3, 16, 16, pixels=True, byte=True)
def bytes_nhwc():
    return Net(lambda net, x: net.linear(x.mean((2, 3))), Apply(lambda x: x.permute(0, 3, 1, 2).float() * 0.01), *stem())


@network(3, 16, 16, dtype=torch.float64)
def float64():
    return windows(*stem()).double()


# Trained networks on photos, where OCTET_DATA_DIR has them.
def data(name):
    return os.path.join(os.environ.get("OCTET_DATA_DIR", ""), name)


def photos(size, count=8):
    """Photos of flowers, normalized, [count,3,size,size]; `size` divides 160."""
    x = np.load(data("../models/flowers/test_images_160.npy"))[:count].astype(np.float32) / 255
    x = x.reshape(count, size, 160 // size, size, 160 // size, 3).mean((2, 4))
    x = (x - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    return torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2)


@network(3, 32, 32, trained="resnet-cifar/resnet20.th")
def trained_cifar_resnet20():
    state = torch.load(data("resnet-cifar/resnet20.th"), map_location="cpu")["state_dict"]
    model = ResNet20()
    model.load_state_dict({k.replace("module.", ""): v for k, v in state.items()})
    return model


class FlowersBlock(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        self.downsample = conv(channels_in, channels, 1, stride) if stride > 1 or channels_in != channels else None

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


@network(3, 160, 160, trained="../models/flowers/flowers_resnet.pth")
def trained_flowers_resnet():
    class Flowers(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 32, 7, 2, 3, bias=False), nn.BatchNorm2d(32)
            for i, (channels_in, channels) in enumerate(((32, 32), (32, 64), (64, 128), (128, 256))):
                blocks = FlowersBlock(channels_in, channels, 2 if i else 1), FlowersBlock(channels, channels, 1)
                setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
            self.fc1, self.fc = nn.Linear(256, 64), nn.Linear(64, 5)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))
            return self.fc(F.relu(self.fc1(x))).softmax(1)
    model = Flowers()
    model.load_state_dict(torch.load(data("../models/flowers/flowers_resnet.pth"), map_location="cpu"))
    return model


# How the exporters may be called: a name, and arguments.
TRAINING = torch.onnx.TrainingMode


def variants():
    newest = 17 if OLD else 23
    yield f"script{newest}", {"opset_version": newest}
    yield "script11", {"opset_version": 11}
    if not OLD:
        yield "dynamo", {"dynamo": True}


def more_variants():
    """Of a few networks, every opset and option."""
    for opset in range(9, 18 if OLD else 24):
        yield f"script{opset}", {"opset_version": opset}
    for opset in (9, 13, 17):
        yield f"unfolded{opset}", {"opset_version": opset, "do_constant_folding": False}
        yield f"norms{opset}", {"opset_version": opset, "training": TRAINING.PRESERVE}
        yield f"plain{opset}", {"opset_version": opset, "do_constant_folding": False, "training": TRAINING.PRESERVE}
        yield f"batches{opset}", {"opset_version": opset, "dynamic_axes": {"x": {0: "batch"}}}
        yield f"initializers{opset}", {"opset_version": opset, "keep_initializers_as_inputs": True}
    if OLD:
        return
    for opset in range(18, 25):
        yield f"dynamo{opset}", {"opset_version": opset, "dynamo": True}
    yield "dynamo_older", {"opset_version": 13, "dynamo": True}
    yield "dynamo_inside", {"dynamo": True, "external_data": False}
    yield "dynamo_unoptimized", {"dynamo": True, "optimize": False}
    yield "dynamo_batches", {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("batch")},)}


VARIED = ("shortcut_a", "head_pool_of_size", "head_mean", "head_adaptive_view", "pools", "preactivation")


def export(folder, name, options, seed=1):
    make, shape, properties = NETWORKS[name]
    torch.manual_seed(seed)
    model = make().eval() if "trained" in properties else randomize(make()).eval()
    if "trained" in properties:
        x = photos(shape[1])
    elif properties.get("pixels"):
        x = torch.randint(0, 256, (4, *shape)).to(torch.uint8 if properties.get("byte") else torch.float32)
    else:
        x = torch.randn(4, *shape, dtype=properties.get("dtype", torch.float32))
    if name == "bytes_nhwc":
        x = x.permute(0, 2, 3, 1).contiguous()
    with torch.no_grad():
        expected = model(x)
    os.makedirs(folder)
    dynamic = "dynamic_shapes" in options
    options = dict(options)
    if not OLD:
        options.setdefault("dynamo", False)
    torch.onnx.export(model, (x if dynamic else x[:1],), os.path.join(folder, "model.onnx"), input_names=["x"], **options)
    pixels = x if name == "bytes_nhwc" else x.permute(0, 2, 3, 1).contiguous()
    np.save(os.path.join(folder, "input.npy"), pixels.to(torch.float32).numpy())
    for i, y in enumerate(expected if isinstance(expected, tuple) else (expected,)):
        np.save(os.path.join(folder, f"expected_{i}.npy" if i else "expected.npy"), y.to(torch.float32).numpy())


def main():
    wanted, failed = sys.argv[2:], 0
    for name, (_, _, properties) in NETWORKS.items():
        if "trained" in properties and not os.path.exists(data(properties["trained"])):
            print("skipped, no data:", name, flush=True)
            continue
        for label, options in more_variants() if name in VARIED else variants():
            case = f"{name}_{label}"
            if wanted and name not in wanted and case not in wanted:
                continue
            if OLD and "since" in properties:
                continue
            if name == "shortcut_a" and options.get("opset_version") == 9:
                continue  # Slice has no steps there; the exporter refuses.
            failed += not attempt(case, lambda: export(os.path.join(sys.argv[1], case), name, options))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
