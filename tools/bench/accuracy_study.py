#!/usr/bin/env python3
"""Trains a recipe in several modes and seeds and compares the accuracies: JSON and a table.

Every (mode, seed) is one `encke train` in a folder of its own under --work; one that has finished is not run again, one
that was cut off goes on from its checkpoint. Differences are taken between runs of the same seed.

    tools/bench/accuracy_study.py resnet20_fashion --epochs 2 --seeds 1,2,3 --modes raw,encke:tolerance=0.1 \\
        --work study --json doc/results/accuracy_resnet20_fashion.json
"""
import argparse
import concurrent.futures
import json
import math
import os
import subprocess
import sys
import time

import bench_runs


def run_folder(work, mode, seed):
    return os.path.join(work, f"{mode.replace(':', '_')}_seed{seed}")


def arguments_of(mode):
    """ "encke:tolerance=0.1" -> the options of `encke train`."""
    name, _, settings = mode.partition(":")
    options = ["--mode", name]
    for setting in filter(None, settings.split(":")):
        options += ["--set", f"activations.{setting}"]
    return options


def newest_run(folder):
    runs = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return os.path.join(folder, runs[-1]) if runs else None


def read_metrics(run):
    """The last log line with training figures and the last evaluation."""
    training, evaluation = {}, {}
    with open(os.path.join(run, "metrics.jsonl")) as lines:
        for line in lines:
            entry = json.loads(line)
            if "eval_top1" in entry:
                evaluation = entry
            else:
                training = entry
    return training, evaluation


def finished_result(folder):
    path = os.path.join(folder, "result.json")
    if not os.path.exists(path):
        return None
    with open(path) as file:
        return json.load(file)


def result_of(options, mode, seed, seconds):
    training, evaluation = read_metrics(newest_run(os.path.join(run_folder(options.work, mode, seed), "runs")))
    peak = training["memory_peak"]
    return {
        "mode": mode,
        "seed": seed,
        "top1": evaluation["eval_top1"],
        "loss": evaluation["eval_loss"],
        "ratio": training["ratio"],
        # Beyond parameters, gradients and optimizer state, which no mode changes.
        "peak": peak["total"] - peak["parameter"] - peak["gradient"] - peak["optimizer"],
        "seconds": seconds,
    }


def train(options, mode, seed):
    folder = run_folder(options.work, mode, seed)
    if finished_result(folder):
        return result_of(options, mode, seed, finished_result(folder)["seconds"])
    os.makedirs(folder, exist_ok=True)
    command = [options.encke, "train", options.recipe, "--seed", str(seed), "--epochs", str(options.epochs)]
    command += ["--threads", str(options.threads), "--output", os.path.join(folder, "runs")] + arguments_of(mode)
    for setting in options.set:
        command += ["--set", setting]
    run = newest_run(os.path.join(folder, "runs"))
    if run and os.path.exists(os.path.join(run, "last.safetensors")):
        command += ["--resume", run]
    start = time.time()
    with open(os.path.join(folder, "log.txt"), "a") as log:
        subprocess.run(command, stdout=log, stderr=log, check=True)
    result = result_of(options, mode, seed, round(time.time() - start))
    with open(os.path.join(folder, "result.json"), "w") as file:
        json.dump(result, file)
    print(f"{mode} seed {seed}: {result['top1']:.2f}%", file=sys.stderr, flush=True)
    return result


def mean(values):
    return sum(values) / len(values)


def standard_error(values):
    if len(values) < 2:
        return float("nan")
    centre = mean(values)
    return math.sqrt(sum((v - centre) ** 2 for v in values) / (len(values) - 1) / len(values))


def summarise(options, results):
    baseline = {r["seed"]: r["top1"] for r in results if r["mode"] == options.modes[0]}
    peaks = {r["seed"]: r["peak"] for r in results if r["mode"] == options.modes[0]}
    rows = []
    for mode in options.modes:
        own = [r for r in results if r["mode"] == mode]
        differences = [r["top1"] - baseline[r["seed"]] for r in own]
        rows.append({
            "mode": mode,
            "top1": [r["top1"] for r in own],
            "mean_top1": round(mean([r["top1"] for r in own]), 3),
            "mean_difference": round(mean(differences), 3),
            "standard_error": round(standard_error(differences), 3) if len(own) > 1 else None,
            "mean_ratio": round(mean([r["ratio"] for r in own]), 2),
            "mean_peak_ratio": round(mean([peaks[r["seed"]] / r["peak"] for r in own]), 2),
        })
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--encke", default="bazel-bin/tools/encke")
    parser.add_argument("--modes", default="raw,encke", help="the first one is the baseline; encke:FIELD=V:FIELD=V sets activations.FIELD")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--parallel", type=int, default=2, help="runs at a time")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--work", required=True, help="folder for the runs; give the same one to go on")
    parser.add_argument("--json", help="file for the results")
    options = parser.parse_args()
    options.modes = options.modes.split(",")
    jobs = [(mode, int(seed)) for seed in options.seeds.split(",") for mode in options.modes]
    with concurrent.futures.ThreadPoolExecutor(options.parallel) as pool:
        results = list(pool.map(lambda job: train(options, *job), jobs))
    rows = summarise(options, results)
    print(f"{'mode':32} {'top-1':>8} {'difference':>11} {'std. error':>11} {'ratio':>7} {'peak':>6}")
    for row in rows:
        error = "" if row["standard_error"] is None else f"{row['standard_error']:.2f}"
        print(f"{row['mode']:32} {row['mean_top1']:8.2f} {row['mean_difference']:+11.2f} {error:>11} {row['mean_ratio']:7.1f} {row['mean_peak_ratio']:6.1f}")
    if options.json:
        report = {"recipe": options.recipe, "epochs": options.epochs, "threads": options.threads, "rows": rows,
                  "command": " ".join(sys.argv)}
        bench_runs.save(report, options.json)


if __name__ == "__main__":
    main()
