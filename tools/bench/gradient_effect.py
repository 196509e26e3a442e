#!/usr/bin/env python3
"""What the inexact inputs of batch norms do to every gradient.

Encke keeps batch norms' inputs within a fraction of their deviation, and of those with a ReLU behind them what the ReLU
stops alone (doc/codec-format.md). From the same weights and the same batch one step is taken exactly and one with these
inputs inexact and every other bound 1e-6, and the gradients of all parameters are compared: they are the optimizer's
momentum after a first step without weight decay. Beside the relative difference stands the noise that the tolerance admits
anyway, of the momentum with which the weights were saved. With --set activations.channel_std_bound=1e-6 only what ReLUs stop
is inexact. Needs numpy (Debian: python3-numpy).

    encke train resnet18_fashion --iterations 600 --batch 32 --output runs
    tools/bench/gradient_effect.py resnet18_fashion --weights runs/RUN --json doc/results/gradient_effect.json
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile

import bench_runs
import numpy as np

VELOCITY = "optimizer.velocity."
COARSE = ["--set", "activations.rule=FIXED", "--set", "activations.fixed_bound=1e-6"]


def tensors_of(path):
    """The float32 tensors of a safetensors file, by name."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        data = np.frombuffer(file.read(), np.uint8)
    header.pop("__metadata__", None)
    return {name: data[slice(*entry["data_offsets"])].view(np.float32) for name, entry in header.items()}


def gradients(options, mode, seed):
    with tempfile.TemporaryDirectory() as output:
        command = [options.encke, "train", options.recipe, "--weights", options.weights, "--iterations", "1"]
        command += ["--seed", str(seed), "--batch", str(options.batch), "--output", output]
        command += ["--set", "training.evaluate_every=1000000", "--set", "data.test_size=8"]
        command += ["--set", "optimizer.weight_decay=0", "--set", "optimizer.momentum=0.9"] + mode
        for setting in options.set:
            command += ["--set", setting]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        tensors = tensors_of(glob.glob(os.path.join(output, "*", "last.safetensors"))[0])
    return {name[len(VELOCITY) :]: tensor for name, tensor in tensors.items() if name.startswith(VELOCITY)}


def norm(tensor):
    return float(np.sqrt(np.sum(np.square(tensor, dtype=np.float64))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--weights", required=True, help="run directory that training has left")
    parser.add_argument("--encke", default="bazel-bin/tools/encke")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", default="1,2,3", help="batches")
    parser.add_argument("--tolerance", type=float, default=0.05, help="whose noise is compared with")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--json")
    options = parser.parse_args()
    momentum = tensors_of(os.path.join(options.weights, "last.safetensors"))
    rows = {}
    for seed in options.seeds.split(","):
        exact = gradients(options, ["--mode", "raw"], seed)
        coarse = gradients(options, ["--mode", "encke"] + COARSE, seed)
        for name, gradient in exact.items():
            size = norm(gradient)
            admitted = options.tolerance * np.mean(np.abs(momentum[VELOCITY + name])) * np.sqrt(gradient.size)
            row = rows.setdefault(name, {"effect": [], "admitted": []})
            row["effect"].append(norm(coarse[name] - gradient) / size)
            row["admitted"].append(float(admitted) / size)
    rows = {name: {key: statistics.mean(values) for key, values in row.items()} for name, row in rows.items()}
    weights = {name: row for name, row in rows.items() if name.endswith("weight")}
    effects = sorted(row["effect"] for row in weights.values())
    below = sum(row["effect"] < row["admitted"] for row in weights.values())
    summary = {
        "weights": len(weights),
        "median_effect": statistics.median(effects),
        "greatest_effect": effects[-1],
        "median_admitted": statistics.median(row["admitted"] for row in weights.values()),
        "below_admitted": below,
    }
    print(f"{'parameter':40}{'effect':>10}{'admitted':>10}")
    for name, row in rows.items():
        print(f"{name:40}{row['effect']:10.4f}{row['admitted']:10.4f}")
    print(f"{len(weights)} weights: median {summary['median_effect']:.4f}, greatest {summary['greatest_effect']:.4f}, ", end="")
    print(f"{below} below what tolerance {options.tolerance} admits (median {summary['median_admitted']:.4f})")
    report = {"command": " ".join(sys.argv), "summary": summary, "parameters": rows}
    bench_runs.save(report, options.json)


if __name__ == "__main__":
    main()
