#!/usr/bin/env python3
"""Makes the golden files of this folder with PyTorch: two training steps of a small network of each family.

Each NETWORK.safetensors holds, in the engine's physical order (images and filters channels last, columns of the first
fully connected layer in h, w, c order), all in float32 but for the 8-bit images and the 32-bit labels:

  images, labels         one batch
  param.NAME             parameters and running statistics before the first step
  loss                   of the first step, the mean over the batch
  grad.NAME              gradients of the first step
  second_loss            of the second step, on the same batch
  after.NAME             parameters and running statistics after the second step
  evaluation_loss        on the same batch after the second step, with running statistics

and in its metadata the optimizer's settings. PyTorch computes in float64, so the files hold correctly rounded values.

Usage: /usr/bin/python3 make_golden.py [FOLDER]      (Debian: python3-torch)
"""
import json
import pathlib
import struct
import sys

import numpy as np
import torch
from torch import nn

BATCH = 4
CLASSES = 5
MEAN, STD = 0.45, 0.25  # of the input image, all channels
OPTIMIZER = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}


class ConvBnRelu(nn.Module):
    def __init__(self, c_in, c_out, kernel, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(c_out, eps=1e-3)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class AlexNetLike(nn.Module):
    """Biases, LRN, overlapping max pooling, groups, two fully connected layers."""

    image = 19

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5, stride=2, padding=2)
        self.norm1 = nn.LocalResponseNorm(5, alpha=0.3, beta=0.75, k=1.0)
        self.conv2 = nn.Conv2d(8, 12, 3, padding=1, groups=2)
        self.pool = nn.MaxPool2d(3, 2)
        self.fc1 = nn.Linear(12, 24)
        self.fc2 = nn.Linear(24, CLASSES)

    def forward(self, x):
        x = self.pool(self.norm1(torch.relu(self.conv1(x))))  # 4x4
        x = self.pool(torch.relu(self.conv2(x)))  # 1x1
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


class VggLike(nn.Module):
    """Convolutions with batch norm and bias, 2x2 max pooling, a fully connected layer on an image."""

    image = 12
    flattened = {"fc": (10, 3, 3)}  # c, h, w that its columns stand for

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 10, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(10)
        self.fc = nn.Linear(90, CLASSES)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 2)
        x = torch.max_pool2d(torch.relu(self.bn2(self.conv2(x))), 2)
        return self.fc(x.flatten(1))


class ResNetLike(nn.Module):
    """Padded max pooling, a block with the identity and one with a strided projection, global average pooling."""

    image = 16

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.layer1 = self.block(6, 6, 1)
        self.layer2 = self.block(6, 10, 2)
        self.fc = nn.Linear(10, CLASSES)

    @staticmethod
    def block(c_in, c_out, stride):
        block = nn.Module()
        block.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        block.bn1 = nn.BatchNorm2d(c_out)
        block.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        block.bn2 = nn.BatchNorm2d(c_out)
        if stride > 1:
            block.downsample = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
        return block

    @staticmethod
    def run(block, x):
        y = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
        return torch.relu(y + (block.downsample(x) if hasattr(block, "downsample") else x))

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.run(self.layer2, self.run(self.layer1, x))
        return self.fc(x.mean((2, 3)))


class InceptionLike(nn.Module):
    """Unpadded stem, branches joined by concatenation, 1x7 and 7x1 kernels, average pooling that counts no padding,
    ceil mode, label smoothing."""

    image = 17
    label_smoothing = 0.1

    def __init__(self):
        super().__init__()
        self.stem = ConvBnRelu(3, 6, 3, stride=2)  # 8x8
        self.branch0 = ConvBnRelu(6, 4, 1)
        self.branch1 = nn.Sequential(
            ConvBnRelu(6, 4, 1), ConvBnRelu(4, 5, (1, 7), padding=(0, 3)), ConvBnRelu(5, 6, (7, 1), padding=(3, 0)))
        self.branch2 = nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), ConvBnRelu(6, 3, 1))
        self.reduce0 = nn.MaxPool2d(3, 2, ceil_mode=True)  # 4x4
        self.reduce1 = ConvBnRelu(13, 6, 3, stride=2, padding=1)
        self.fc = nn.Linear(19, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        x = torch.cat([self.branch0(x), self.branch1(x), self.branch2(x)], 1)
        x = torch.cat([self.reduce0(x), self.reduce1(x)], 1)
        return self.fc(x.mean((2, 3)))


NETWORKS = {"alexnet": AlexNetLike, "vgg": VggLike, "resnet": ResNetLike, "inception": InceptionLike}


def physical(network, name, tensor):
    """`tensor` of parameter `name` in the engine's order."""
    tensor = tensor.detach()
    module = name.rsplit(".", 1)[0]
    if tensor.dim() == 2 and module in getattr(network, "flattened", {}):
        tensor = tensor.reshape(-1, *network.flattened[module])
    if tensor.dim() == 4:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.contiguous().float().numpy()


def snapshot(network, prefix):
    """Parameters and running statistics."""
    return {prefix + name: physical(network, name, tensor)
            for name, tensor in network.state_dict().items() if "num_batches" not in name}


def round_to_float(network):
    with torch.no_grad():
        for tensor in list(network.parameters()) + list(network.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(tensor.float())


def randomize_norms(network):
    """Scales and shifts that a wrong gradient cannot hide behind."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)


def two_steps(network):
    images = torch.randint(0, 256, (BATCH, network.image, network.image, 3), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (BATCH,))
    tensors = {"images": images.numpy(), "labels": labels.int().numpy(), **snapshot(network, "param.")}
    x = (images.double().permute(0, 3, 1, 2) / 255 - MEAN) / STD
    loss_function = nn.CrossEntropyLoss(label_smoothing=getattr(network, "label_smoothing", 0.0))
    optimizer = torch.optim.SGD(network.parameters(), **OPTIMIZER)
    for step in ("", "second_"):
        optimizer.zero_grad()
        loss = loss_function(network(x), labels)
        loss.backward()
        tensors[step + "loss"] = np.array([loss.item()], np.float32)
        if not step:
            for name, parameter in network.named_parameters():
                tensors["grad." + name] = physical(network, name, parameter.grad)
        optimizer.step()
    tensors.update(snapshot(network, "after."))
    with torch.no_grad():
        loss = loss_function(network.eval()(x), labels)
    tensors["evaluation_loss"] = np.array([loss.item()], np.float32)
    return tensors


def write_safetensors(path, tensors, metadata):
    kinds = {"float32": "F32", "uint8": "U8", "int32": "I32"}
    header, offset = {"__metadata__": metadata}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": kinds[tensor.dtype.name], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(t.tobytes() for t in tensors.values()))


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    metadata = {key: str(value) for key, value in {**OPTIMIZER, "mean": MEAN, "std": STD}.items()}
    for seed, (name, make) in enumerate(NETWORKS.items()):
        torch.manual_seed(seed)
        network = make().double()
        randomize_norms(network)
        round_to_float(network)
        path = folder / (name + ".safetensors")
        write_safetensors(path, two_steps(network), metadata)
        print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
