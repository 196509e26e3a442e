#!/usr/bin/env python3
"""Trains every network of the zoo for a few iterations at its own input size, raw and compressed: peaks as JSON, and a table.

Shows that each fits and runs; the ratios are those of the first iterations, when bounds are still tight.

    tools/bench/zoo_step.py --batch 2 --json doc/results/zoo_step.json
"""
import argparse
import sys

import bench_runs

NETWORKS = ("lenet5 alexnet alexnet_small alexnet_original vgg11 vgg11_bn vgg11_bn_small vgg13 vgg13_bn vgg16 vgg16_bn "
            "vgg16_small vgg19 vgg19_bn resnet20 resnet56 resnet18 resnet18_small resnet34 resnet50 resnet101 resnet152 "
            "inception_v4").split()


def compare(options, network):
    return bench_runs.compare(options.encke, network, "--batch", options.batch, "--iterations", options.iterations,
                              "--threads", options.threads, "--set", "data.train_size=64", "--set", "data.test_size=8")


def row_of(modes):
    row = {}
    for mode, figures in modes.items():
        row[mode] = {
            "peak_bytes": figures["peak_bytes"]["total"],
            "resident_peak_bytes": figures["resident_peak_bytes"],
            "raw_saved_bytes": figures["raw_saved_bytes"],
            "stored_bytes": figures["stored_bytes"],
            "loss": figures["loss"],
        }
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="default: all")
    parser.add_argument("--encke", default="bazel-bin/tools/encke")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--json")
    options = parser.parse_args()
    report = {"batch": options.batch, "iterations": options.iterations, "command": " ".join(sys.argv), "networks": {}}
    print(f"{'network':18} {'raw peak':>12} {'encke peak':>12} {'stored ratio':>13}")
    for network in options.networks or NETWORKS:
        report["networks"][network] = row = row_of(compare(options, network))
        raw, encke = row["raw"], row["encke"]
        print(f"{network:18} {raw['peak_bytes'] / 2**20:8.0f} MiB {encke['peak_bytes'] / 2**20:8.0f} MiB "
              f"{encke['raw_saved_bytes'] / encke['stored_bytes']:12.1f}x", flush=True)
        bench_runs.save(report, options.json)


if __name__ == "__main__":
    main()
