#!/usr/bin/env python3
"""Training throughput of Encke, raw and compressed, beside PyTorch's, as JSON and a table.

For each network the programs take turns (PyTorch, raw, encke, PyTorch, ...), so that a noisy machine treats them alike;
the best of --rounds counts for each. Data are made up and in memory.

    tools/bench/speed.py --threads 2 --json doc/results/speed.json
"""
import argparse
import json
import os
import platform
import subprocess
import sys

import bench_runs

HERE = os.path.dirname(os.path.abspath(__file__))

SMALL = ["network.input.channels=1", "network.input.height=28", "network.input.width=28", "network.classes=10"]
# name of the comparison: PyTorch's network, Encke's, overrides, batch, iterations
CASES = {
    "resnet18_small": ("resnet18_small", "resnet18_small", SMALL, 64, 10),
    "resnet50": ("resnet50", "resnet50", [], 8, 5),
    "vgg16": ("vgg16", "vgg16", [], 8, 4),
}


def pytorch(network, batch, iterations, threads, bf16):
    command = ["/usr/bin/python3", os.path.join(HERE, "pytorch_baseline.py"), network, "--batch", str(batch)]
    command += ["--iterations", str(iterations), "--warmup", "1", "--threads", str(threads)]
    if bf16:
        command.append("--bf16")
    return json.loads(subprocess.check_output(command, stderr=subprocess.DEVNULL))["images_per_second"]


def encke(options, config, overrides, batch, iterations, modes, precision):
    arguments = ["--batch", batch, "--iterations", iterations + 2, "--threads", options.threads]
    arguments += ["--modes", ",".join(modes), "--set", "training.evaluate_every=1000000", "--set", "data.test_size=8"]
    arguments += ["--set", f"training.precision={precision}"]
    for override in overrides:
        arguments += ["--set", override]
    return bench_runs.compare(options.encke, config, *arguments)


def best(into, figures):
    for name, speed in figures.items():
        into[name] = max(into.get(name, 0), round(speed, 2))


def measure(options, name):
    torch_network, config, overrides, batch, iterations = CASES[name]
    speeds = {}
    for _ in range(options.rounds):
        if not options.no_pytorch:
            figures = pytorch(torch_network, batch, iterations, options.threads, options.bf16)
            best(speeds, {f"pytorch_{layout}": speed for layout, speed in figures.items()})
        precisions = ["FP32", "BF16"] if options.bf16 else ["FP32"]
        for precision in precisions:
            modes = encke(options, config, overrides, batch, iterations, options.modes.split(","), precision)
            suffix = "" if precision == "FP32" else "_bf16"
            best(speeds, {mode + suffix: figures["images_per_second"] for mode, figures in modes.items()})
    reference = max((speed for mode, speed in speeds.items() if mode.startswith("pytorch")), default=None)
    ratios = {mode: round(speed / speeds["raw"], 3) for mode, speed in speeds.items()}
    return {
        "batch": batch,
        "images_per_second": speeds,
        "over_raw": ratios,
        "raw_over_pytorch": round(speeds["raw"] / reference, 3) if reference else None,
    }


def processor():
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--encke", default="bazel-bin/tools/encke")
    parser.add_argument("--modes", default="raw,encke")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="also in bfloat16 (PyTorch: autocast, in place of fp32)")
    parser.add_argument("--no-pytorch", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    report = {"machine": processor(), "threads": options.threads, "command": " ".join(sys.argv), "cases": {}}
    for name in options.cases or CASES:
        report["cases"][name] = case = measure(options, name)
        print(f"{name} (batch {case['batch']}): raw is {case['raw_over_pytorch']} x PyTorch")
        for mode, speed in sorted(case["images_per_second"].items()):
            print(f"  {mode:24} {speed:9.2f} img/s  {case['over_raw'][mode]:6.3f} x raw", flush=True)
        bench_runs.save(report, options.json)


if __name__ == "__main__":
    main()
