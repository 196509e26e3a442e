#!/usr/bin/python3
"""Training throughput of PyTorch on networks that Encke's zoo has too, in both memory formats, as JSON.

The reference for Encke's own speed: run it in the same minutes, on the same machine, with as many threads. Needs PyTorch
and torchvision (Debian: python3-torch python3-torchvision). Data are random and in memory; forward, loss, backward and
an SGD step with momentum are timed, the first iterations left out.

    tools/bench/pytorch_baseline.py resnet18_small --batch 64 --threads 2
"""
import argparse
import json
import platform
import time

import torch
import torchvision


def resnet18_small():
    """ResNet-18 for small images: 3x3 stem with stride 1, no max pool, grey input as Fashion-MNIST has it."""
    net = torchvision.models.resnet18(num_classes=10)
    net.conv1 = torch.nn.Conv2d(1, 64, 3, 1, 1, bias=False)
    net.maxpool = torch.nn.Identity()
    return net, (1, 28, 28), 10


NETWORKS = {
    "resnet18_small": resnet18_small,
    "resnet18": lambda: (torchvision.models.resnet18(), (3, 224, 224), 1000),
    "resnet50": lambda: (torchvision.models.resnet50(), (3, 224, 224), 1000),
    "vgg16": lambda: (torchvision.models.vgg16(), (3, 224, 224), 1000),
}


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def measure(name, batch, iterations, warmup, memory_format, bf16, device):
    torch.manual_seed(1)
    net, shape, classes = NETWORKS[name]()
    net = net.train().to(device=device, memory_format=memory_format)
    images = torch.randn(batch, *shape).to(device=device, memory_format=memory_format)
    labels = torch.randint(classes, (batch,)).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    start = None
    for iteration in range(warmup + iterations):
        if iteration == warmup:
            wait(device)
            start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            loss = torch.nn.functional.cross_entropy(net(images).float(), labels)
        loss.backward()
        optimizer.step()
    wait(device)
    return batch * iterations / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=sorted(NETWORKS))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's default")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu",
                        help="on a GPU cuDNN measures its algorithms and fp32 products may be tf32, as Encke's are")
    arguments = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    result = {
        "network": arguments.network,
        "batch": arguments.batch,
        "threads": torch.get_num_threads(),
        "pytorch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "device": arguments.device,
        "precision": "bf16" if arguments.bf16 else "fp32",
        "images_per_second": {},
    }
    for name, memory_format in (("nchw", torch.contiguous_format), ("channels_last", torch.channels_last)):
        speed = measure(arguments.network, arguments.batch, arguments.iterations, arguments.warmup, memory_format,
                        arguments.bf16, arguments.device)
        result["images_per_second"][name] = round(speed, 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
