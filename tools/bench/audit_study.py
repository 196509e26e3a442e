#!/usr/bin/env python3
"""Trains with audits and compares the gradient noise that was predicted with the noise that was measured.

In an audit every convolution and fc layer also gets its exact weight gradient; the standard deviation of the difference is
measured / predicted by the formula of doc/error-propagation.md. Also gives the stored ratio by kind of value.

    tools/bench/audit_study.py resnet18_fashion --iterations 600 --at 50,200,600 --set activations.tolerance=0.1 \\
        --json doc/results/audit_resnet18_fashion_0.1.json --work audit
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

import bench_runs


def train(options):
    command = [options.encke, "train", options.recipe, "--iterations", str(options.iterations), "--mode", "encke"]
    command += ["--threads", str(options.threads), "--output", options.work]
    command += ["--set", f"activations.audit_at={options.at}", "--set", "training.evaluate_every=100000", "--set", "data.test_size=64"]
    for setting in options.set:
        command += ["--set", setting]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return os.path.join(options.work, sorted(os.listdir(options.work))[-1])


def read_records(run):
    with open(os.path.join(run, "activations.jsonl")) as lines:
        return [json.loads(line) for line in lines]


def summarise(records, iteration, inside):
    audits = [r for r in records if r["iteration"] == iteration and r.get("kind") == "audit"]
    kept = [r for r in records if r["iteration"] == iteration and r.get("kind") != "audit"]
    quotients = [r["measured_sigma"] / r["predicted_sigma"] for r in audits if r["predicted_sigma"] > 0]
    broken = [r for r in audits if r["error_over_bound"] > 1]
    ratios = {}
    for kind in sorted({r["kind"] for r in kept}):
        own = [r for r in kept if r["kind"] == kind]
        ratios[kind] = round(sum(r["raw_bytes"] for r in own) / sum(r["stored_bytes"] for r in own), 2)
    ratios["all"] = round(sum(r["raw_bytes"] for r in kept) / sum(r["stored_bytes"] for r in kept), 2)
    return {
        "iteration": iteration,
        "layers": len(quotients),
        "measured_over_predicted": {
            "least": round(min(quotients), 3),
            "median": round(statistics.median(quotients), 3),
            "greatest": round(max(quotients), 3),
        },
        "inside": sum(inside[0] <= q <= inside[1] for q in quotients),
        "bounds_broken": len(broken),
        "largest_bias": round(max(abs(r["bias"]) for r in audits), 5),
        "ratio": ratios,
        "by_layer": {r["consumer"]: round(r["measured_sigma"] / r["predicted_sigma"], 3) for r in audits
                     if r["predicted_sigma"] > 0},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--encke", default="bazel-bin/tools/encke")
    parser.add_argument("--iterations", type=int, default=600)
    parser.add_argument("--at", default="50,200,600")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--work", required=True)
    parser.add_argument("--json")
    options = parser.parse_args()
    records = read_records(train(options))
    inside = (0.75, 1.33)
    rows = [summarise(records, int(at), inside) for at in options.at.split(",")]
    for row in rows:
        quotient = row["measured_over_predicted"]
        print(f"iteration {row['iteration']}: measured / predicted sigma {quotient['least']} .. {quotient['median']} .. "
              f"{quotient['greatest']}, {row['inside']} of {row['layers']} layers inside {inside}; ratio {row['ratio']}")
    if options.json:
        report = {"recipe": options.recipe, "settings": options.set, "command": " ".join(sys.argv), "audits": rows}
        bench_runs.save(report, options.json)


if __name__ == "__main__":
    main()
