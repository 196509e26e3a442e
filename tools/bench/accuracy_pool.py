#!/usr/bin/env python3
"""Accuracy differences of one mode over all studies: mean over every pair of runs, its standard error.

A pair is a compressed and an uncompressed run of one recipe and seed; the files are those of tools/bench/accuracy_study.py.
Modes are told apart by what they set besides the codec, where that is fast or dense, which give back the same values.

    tools/bench/accuracy_pool.py doc/results/accuracy_*.json
"""
import argparse
import json
import re

from accuracy_study import mean, standard_error


def name_of(mode, default_tolerance):
    name = re.sub(r":codec=(fast|dense|auto)", "", mode)
    return f"encke:tolerance={default_tolerance}" if name == "encke" else name


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--default-tolerance", default="0.05", help="of modes that name none")
    options = parser.parse_args()
    differences = {}
    for path in options.files:
        with open(path) as file:
            study = json.load(file)
        raw, *others = study["rows"]
        for row in others:
            pairs = [ours - theirs for ours, theirs in zip(row["top1"], raw["top1"])]
            differences.setdefault(name_of(row["mode"], options.default_tolerance), {})[path] = pairs
    print(f"{'mode':40} {'pairs':>5} {'difference':>11} {'std. error':>11}")
    for mode, by_study in sorted(differences.items()):
        pairs = [pair for of_study in by_study.values() for pair in of_study]
        print(f"{mode:40} {len(pairs):5} {mean(pairs):+11.2f} {standard_error(pairs):11.2f}")


if __name__ == "__main__":
    main()
