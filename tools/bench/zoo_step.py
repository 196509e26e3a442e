#!/usr/bin/env python3
"""Trains every network of the zoo for a few iterations at its own input size, raw and compressed: peaks as JSON, and a table.

Shows that each fits and runs, and how far the plan's prediction is from the ledger's peak and, with what the program holds
without training (as `encke summary` does), from the resident set's. The ratios are those of the first iterations, when bounds
are still tight.

    tools/bench/zoo_step.py --batch 8 --json doc/results/zoo_step.json
"""
import argparse
import json
import os
import subprocess
import sys

import bench_runs

NETWORKS = ("lenet5 alexnet alexnet_small alexnet_original vgg11 vgg11_bn vgg11_bn_small vgg13 vgg13_bn vgg16 vgg16_bn "
            "vgg16_small vgg19 vgg19_bn resnet20 resnet56 resnet18 resnet18_small resnet34 resnet50 resnet101 resnet152 "
            "inception_v4").split()


MODES = {"raw": "RAW", "encke": "ENCKE"}


def arguments(options, network):
    return [network, "--batch", str(options.batch), "--set", "data.train_size=64", "--set", "data.test_size=8",
            "--set", f"training.threads={options.threads}"]


def compare(options, network):
    return bench_runs.compare(options.encke, *arguments(options, network), "--iterations", options.iterations)


def predict(options, network, mode):
    """The plan's peak, and what the program held while it made it."""
    command = [options.encke, "summary", *arguments(options, network), "--set", "data.kind=SYNTHETIC", "--json"]
    with subprocess.Popen(command + ["--set", f"activations.mode={MODES[mode]}"], stdout=subprocess.PIPE) as process:
        plan = json.load(process.stdout)
        usage = os.wait4(process.pid, 0)[2]
        process.returncode = 0
    return plan["predicted_peak_bytes"]["total"], usage.ru_maxrss * 1024


def row_of(options, network):
    row = {}
    for mode, figures in compare(options, network).items():
        predicted, idle = predict(options, network, mode)
        peak, resident = figures["peak_bytes"]["total"], figures["resident_peak_bytes"]
        row[mode] = {
            "peak_bytes": peak,
            "predicted_peak_bytes": predicted,
            "resident_peak_bytes": resident,
            "idle_resident_bytes": idle,
            "predicted_over_peak": round(predicted / peak, 3),
            "predicted_over_resident": round((predicted + idle) / resident, 3),
            "raw_saved_bytes": figures["raw_saved_bytes"],
            "stored_bytes": figures["stored_bytes"],
            "loss": figures["loss"],
        }
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="default: all")
    parser.add_argument("--encke", default="bazel-bin/tools/encke")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--json")
    options = parser.parse_args()
    report = {"batch": options.batch, "iterations": options.iterations, "command": " ".join(sys.argv), "networks": {}}
    print(f"{'network':18} {'mode':6} {'peak':>12} {'predicted':>10} {'resident':>12} {'predicted':>10} {'stored':>7}")
    for network in options.networks or NETWORKS:
        report["networks"][network] = row_of(options, network)
        for mode, row in report["networks"][network].items():
            print(f"{network:18} {mode:6} {row['peak_bytes'] / 2**20:8.0f} MiB {row['predicted_over_peak']:10.3f} "
                  f"{row['resident_peak_bytes'] / 2**20:8.0f} MiB {row['predicted_over_resident']:10.3f} "
                  f"{row['raw_saved_bytes'] / row['stored_bytes']:6.1f}x", flush=True)
        bench_runs.save(report, options.json)


if __name__ == "__main__":
    main()
