"""Writes one small ResNet's state dict in every way PyTorch's users save it.

Usage: export_pytorch.py FOLDER. Gives FOLDER/CASE.pth, input.npy (NHWC) and expected.npy, PyTorch's own output. The network is
models/cifar_resnet20.json. Needs torch and numpy.
"""

import argparse
import collections
import copy
import enum
import os
import pathlib
import sys

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune


class Block(nn.Module):
    """The CIFAR networks' basic block with shortcut A."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.extra = stride, channels - channels_in

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.extra:
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra // 2, self.extra // 2))
        return torch.relu(y + x)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return torch.softmax(self.linear(x.mean((2, 3))), 1)


def randomize(model, gain=1.0):
    """Random batch norms; deep networks need a gain below 1 to keep activations in range."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5 * gain, gain)
            nn.init.normal_(module.bias, 0, 0.1)
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


class Mode(enum.Enum):
    TRAIN = 1


def normalize(model, weight_norm):
    """Weight norm of every convolution, by a gain per output that is not the direction's length."""
    for module in list(model.modules()):
        if isinstance(module, nn.Conv2d):
            weight = module.weight.detach().clone()
            weight_norm(module, "weight")
            scale = torch.rand(len(weight), 1, 1, 1) + 0.5
            if hasattr(module, "parametrizations"):
                module.parametrizations.weight.original1.data = weight * scale
            else:
                module.weight_v.data = weight * scale
    return model


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(1)
    model = randomize(ResNet20().eval())
    mask = (torch.arange(model.conv1.weight.numel()) % 3 > 0).reshape(model.conv1.weight.shape).float()
    model.conv1.weight.data *= mask
    model.bn1.running_var.fill_(1.25)
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = model(x)
    np.save(os.path.join(folder, "input.npy"), x.permute(0, 2, 3, 1).contiguous().numpy())
    np.save(os.path.join(folder, "expected.npy"), expected.numpy())

    fresh = copy.deepcopy(model)  # As `state`.
    state = {k: v.clone() for k, v in model.state_dict().items()}  # The optimizer below changes the model's own.
    floats = {k: v for k, v in state.items() if v.is_floating_point()}
    one = torch.cat([v.reshape(-1) for v in floats.values()])
    shared, begin = {}, 0
    for key, value in floats.items():
        shared[key] = one[begin:begin + value.numel()].view(value.shape)
        begin += value.numel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(x).sum().backward()
    optimizer.step()
    training = {"epoch": 3, "model": state, "optimizer": optimizer.state_dict(), "loss": torch.tensor(0.5), "best": np.float64(91.25)}
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60])
    stepped = {"epoch": 3, "state_dict": state, "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    args = argparse.Namespace(lr=0.1, path=pathlib.Path("/data"), mode=Mode.TRAIN, counts=collections.defaultdict(int, a=1))
    other = {k: v * 0.5 if v.is_floating_point() else v for k, v in state.items()}
    pruned = copy.deepcopy(fresh)
    pruned.conv1.weight.data += (1 - mask) * torch.randn_like(mask)
    prune.custom_from_mask(pruned.conv1, "weight", mask)
    negative = {k: torch.complex(torch.zeros_like(v), -v).conj().imag if v.is_floating_point() else v for k, v in state.items()}
    assert all(v.is_neg() for v in negative.values() if v.is_floating_point())
    cases = {
        "multistep": (stepped, {}),
        "multistep_legacy": (stepped, {"_use_new_zipfile_serialization": False}),
        "args": ({"state_dict": state, "args": args, "filter": torch.complex(torch.ones(2), torch.ones(2)).conj()}, {}),
        "ema_beside_raw": ({"state_dict": other, "state_dict_ema": state, "args": args}, {}),
        "raw_beside_ema": ({"model": state, "model_ema": torch.optim.swa_utils.AveragedModel(randomize(ResNet20())).state_dict()}, {}),
        "averaged": (torch.optim.swa_utils.AveragedModel(fresh).state_dict(), {}),
        "compiled": ({"_orig_mod." + k: v for k, v in state.items()}, {}),
        "lightning": ({"state_dict": {"model." + k: v for k, v in state.items()}, "callbacks": {}, "loops": {"fit": {"state": {}}}}, {}),
        "list": ({"state_dict": [state], "err": 0.05}, {}),
        "pruned": (pruned.state_dict(), {}),
        "weight_norm": (normalize(copy.deepcopy(fresh), nn.utils.weight_norm).state_dict(), {}),
        "expanded": ({**state, "bn1.running_var": torch.tensor(1.25).expand(16)}, {}),
        "zip": (state, {}),
        "legacy": (state, {"_use_new_zipfile_serialization": False}),
        "protocol4": (state, {"pickle_protocol": 4}),
        "legacy_protocol5": (state, {"pickle_protocol": 5, "_use_new_zipfile_serialization": False}),
        "parallel": ({"epoch": 3, "arch": "resnet20", "state_dict": {"module." + k: v for k, v in state.items()}}, {}),
        "training": (training, {}),
        "training_legacy": (training, {"_use_new_zipfile_serialization": False}),
        "channels_last": ({k: v.to(memory_format=torch.channels_last) if v.dim() == 4 else v for k, v in state.items()}, {}),
        "float64": ({k: v.double() if v.is_floating_point() else v for k, v in state.items()}, {}),
        "parameters": ({k: nn.Parameter(v, requires_grad=False) for k, v in state.items()}, {}),
        "shared": (shared, {}),
        "shared_legacy": (shared, {"_use_new_zipfile_serialization": False}),
    }
    if hasattr(nn.utils.parametrizations, "weight_norm"):  # Not in 1.13, which also forgets that a view is negative.
        cases["negative"] = (negative, {})
        cases["weight_norm_parametrized"] = (normalize(copy.deepcopy(fresh), nn.utils.parametrizations.weight_norm).state_dict(), {})
    for name, (value, options) in cases.items():
        torch.save(value, os.path.join(folder, name + ".pth"), **options)


if __name__ == "__main__":
    main()
