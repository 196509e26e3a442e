#!/usr/bin/env python3
"""What memory buys: time of an iteration over raw's, beside how much lower the peak is. JSON and a table.

Raw and the other mode run at the same time, a thread on a core each, on either core in turn, so that both see the same
noise. Data are made up and in memory. Probes and refreshes of bounds thin out after 20 iterations in place of 200, so that
those that count, from the 21st on, are like those of a long training; the peak is the ledger's, of all iterations,
beyond parameters, gradients and optimizer state.

    tools/bench/memory_time.py resnet50 --batch 12 --mode codec=fast --mode limit=625MiB --json doc/results/memory_time.json
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

INTERVAL = 5
FIRST = 4 * INTERVAL  # iterations that do not count
LOGGED = 4
ENDLESS = 1000000  # iterations of raw, which is stopped
FIXED = ("parameter", "gradient", "optimizer")


def command(options, mode, iterations, core, output):
    arguments = ["taskset", "-c", str(core), options.encke, "train", options.network, "--data", "synthetic", "--threads", "1"]
    arguments += ["--batch", str(options.batch), "--iterations", str(iterations), "--output", output]
    settings = [f"activations.log_every={LOGGED}", f"activations.interval={INTERVAL}", "training.evaluate_every=1000000", f"data.test_size={options.batch}",
                f"data.train_size={options.batch * options.iterations}"]
    for setting in mode.split(","):
        name, _, value = setting.partition("=")
        settings.append(f"training.memory_limit={value}" if name == "limit" else f"activations.{setting}")
    return arguments + [argument for setting in settings for argument in ("--set", setting)]


def figures(output):
    with open(glob.glob(os.path.join(output, "*", "metrics.jsonl"))[0]) as lines:
        rows = [row for row in map(json.loads, lines) if "images_per_second" in row]
    speeds = [row["images_per_second"] for row in rows if row["iteration"] > FIRST]
    if not speeds:
        sys.exit(f"memory_time: no iteration of {output} counts, it was too slow: more --iterations are needed")
    peak = max((row["memory_peak"] for row in rows), key=lambda memory: memory["total"])
    return {"images_per_second": statistics.harmonic_mean(speeds),
            "peak_beyond_parameters": peak["total"] - sum(peak[category] for category in FIXED)}


def turn(options, mode, core):
    """Raw runs until the other mode ends, so that each of its iterations that counts had company, as all of the other's had."""
    with tempfile.TemporaryDirectory() as folder:
        own, raw = (os.path.join(folder, name) for name in ("own", "raw"))
        companion = subprocess.Popen(command(options, "mode=RAW", ENDLESS, 1 - core, raw), stdout=subprocess.DEVNULL)
        try:
            subprocess.run(command(options, mode, options.iterations, core, own), stdout=subprocess.DEVNULL, check=True)
            if companion.poll() is not None:
                sys.exit(f"memory_time: raw ended early, with exit code {companion.returncode}")
        except subprocess.CalledProcessError as error:
            sys.exit(f"memory_time: {mode} failed, with exit code {error.returncode}: {' '.join(error.cmd)}")
        finally:
            companion.kill()
            companion.wait()
        return {"raw": figures(raw), mode: figures(own)}


def row_of(turns, mode):
    times = [t["raw"]["images_per_second"] / t[mode]["images_per_second"] for t in turns]
    raw, own = (turns[0][name]["peak_beyond_parameters"] for name in ("raw", mode))
    return {"raw_peak_beyond_parameters": raw, "peak_beyond_parameters": own, "peak_ratio": round(raw / own, 2),
            "time_over_raw": round(statistics.median(times), 3), "times_over_raw": [round(time, 3) for time in times]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("--encke", default="bazel-bin/tools/encke")
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--iterations", type=int, default=28)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--mode", action="append", required=True, help="limit=SIZE, or a setting of `activations`: codec=dense; several: codec=dense,rematerialize=0")
    parser.add_argument("--json")
    options = parser.parse_args()
    report = {"network": options.network, "batch": options.batch, "command": " ".join(sys.argv), "modes": {}}
    turns = {mode: [] for mode in options.mode}
    for i in range(options.turns):
        for mode in options.mode:
            turns[mode].append(turn(options, mode, i % 2))
    for mode in options.mode:
        report["modes"][mode] = row = row_of(turns[mode], mode)
        print(f"{mode:20} {row['peak_beyond_parameters'] / 2**20:6.0f} MiB, {row['peak_ratio']:5.2f}x lower, "
              f"{row['time_over_raw']:.3f} of raw's time ({min(row['times_over_raw'])} to {max(row['times_over_raw'])})")
    bench_runs.save(report, options.json)


if __name__ == "__main__":
    main()
