#!/usr/bin/env python3
"""Peak memory of whole networks at their own input size, compressed against what frameworks save: JSON and a table.

What counts is the peak beyond parameters, gradients and optimizer state, by Encke's ledger and by the system's count of
the whole process; beside it the time that compression costs and, in the last iteration, the ratio of what frameworks save
to what is stored. Few iterations, so bounds are those of the beginning. Data are made up unless --set says otherwise.

    tools/bench/peak_study.py --iterations 12 --mode encke:codec=fast --mode encke:codec=dense \
        --json doc/results/peak_default_tolerance.json --set data.kind=FOLDER --set data.train=images.tar \
        --set data.test=images.tar --set network.classes=500
"""
import argparse
import os
import sys

import bench_runs

# network: batch, iterations
CASES = {"alexnet": (32, 3), "vgg16": (32, 2), "resnet18": (32, 3), "resnet50": (32, 3), "inception_v4": (16, 2)}
FIXED = ("parameter", "gradient", "optimizer")


def compare(options, network):
    batch, iterations = CASES[network]
    settings = ["training.evaluate_every=1000000", "data.prefetch=1", "data.test_size=8"]
    settings += options.set or ["data.train_size=256"]
    return bench_runs.compare(options.encke, network, "--batch", batch, "--iterations", options.iterations or iterations,
                              "--threads", options.threads, "--modes", ",".join(["raw"] + options.mode),
                              *(argument for setting in settings for argument in ("--set", setting)),
                              data=None if options.set else "synthetic")


def beyond_parameters(figures, total):
    return total - sum(figures["peak_bytes"][category] for category in FIXED)


def row_of(modes, mode):
    raw, encke = modes["raw"], modes[mode]
    ledger = [beyond_parameters(m, m["peak_bytes"]["total"]) for m in (raw, encke)]
    resident = [beyond_parameters(m, m["resident_peak_bytes"]) for m in (raw, encke)]
    return {
        "raw_peak_beyond_parameters": ledger[0],
        "encke_peak_beyond_parameters": ledger[1],
        "peak_ratio": round(ledger[0] / ledger[1], 2),
        "resident_peak_ratio": round(resident[0] / resident[1], 2),
        # What frameworks save over what is stored; and what is kept at all over the same.
        "stored_ratio": round(raw["raw_saved_bytes"] / encke["stored_bytes"], 2),
        "codec_ratio": round(encke["raw_saved_bytes"] / encke["stored_bytes"], 2),
        "time_over_raw": round(raw["images_per_second"] / encke["images_per_second"], 3),
        "encke_peak_bytes": encke["peak_bytes"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--encke", default="bazel-bin/tools/encke")
    parser.add_argument("--mode", action="append", help="beside raw, as of `encke compare`; default: encke:codec=dense")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--iterations", type=int, help="default: 2 or 3")
    parser.add_argument("--set", action="append", metavar="FIELD=VALUE", help="for all runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    options.mode = options.mode or ["encke:codec=dense"]
    report = {"threads": options.threads, "command": " ".join(sys.argv), "networks": {}}
    print(f"{'network, batch':18} {'mode':28} {'raw':>10} {'encke':>10} {'peak':>6} {'resident':>9} {'stored':>7} {'codec':>6} {'time':>6}")
    for network in options.networks or CASES:
        batch, modes = CASES[network][0], compare(options, network)
        report["networks"][network] = {"batch": batch}
        for mode in options.mode:
            report["networks"][network][mode] = row = row_of(modes, mode)
            print(f"{network + ', ' + str(batch):18} {mode:28} {row['raw_peak_beyond_parameters'] / 2**20:6.0f} MiB "
                  f"{row['encke_peak_beyond_parameters'] / 2**20:6.0f} MiB {row['peak_ratio']:5.1f}x {row['resident_peak_ratio']:8.1f}x "
                  f"{row['stored_ratio']:6.1f}x {row['codec_ratio']:5.1f}x {row['time_over_raw']:5.2f}x", flush=True)
        bench_runs.save(report, options.json)


if __name__ == "__main__":
    main()
