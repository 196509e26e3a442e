#!/usr/bin/env python3
"""Sums up what tools/bench/cuda_trace.cc wrote down of a training: where the GPU's time goes, and what the host calls.

Of steady iterations: one ends where the last parameter has been updated (--mark is a part of that kernel's name); the
first --skip are left out.

    tools/bench/cuda_trace.py TRACE --iterations 14 [--mark Sgd] [--skip 5] [--top 30] [--json FILE]
"""
import argparse
import collections
import json
import re
import subprocess


def read(path):
    rows = {"kernel": [], "copy": [], "fill": [], "call": []}
    for line in open(path):
        kind, begin, end, where, name = line.rstrip("\n").split("\t")
        rows[kind].append((int(begin), int(end), int(where), name))
    return {kind: sorted(some) for kind, some in rows.items()}


def demangle(names):
    names = list(names)
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True).stdout
    return dict(zip(names, text.split("\n")))


def short(name):
    """A kernel's name without the arguments, and without what says little of template arguments."""
    name = re.sub(r"\((anonymous namespace)\)::", "", name)
    name = re.sub(r"encke::(cuda::)?", "", name)
    name = re.sub(r"^void ", "", name)
    depth, end = 0, len(name)
    for i, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            end = i
            break
    return name[:end][:110]


def iterations_ends(kernels, mark, iterations):
    """Ends of iterations: each launches the mark's kernels equally often."""
    marked = [end for _, end, _, name in kernels if mark in name]
    if not marked or len(marked) % iterations:
        raise SystemExit(f"error: {len(marked)} launches of {mark}, which are not those of {iterations} iterations")
    each = len(marked) // iterations
    return marked[each - 1::each]


def union(intervals):
    total, last = 0, None
    for begin, end in sorted(intervals):
        begin = begin if last is None else max(begin, last)
        if end > begin:
            total += end - begin
            last = end
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("--iterations", type=int, required=True, help="of the training that was traced")
    parser.add_argument("--mark", default="Sgd")
    parser.add_argument("--skip", type=int, default=5)
    parser.add_argument("--top", type=int, default=30)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    rows = read(arguments.trace)
    ends = iterations_ends(rows["kernel"], arguments.mark, arguments.iterations)[arguments.skip:]
    if len(ends) < 2:
        raise SystemExit(f"error: {len(ends)} iterations after the first {arguments.skip}")
    begin, end, count = ends[0], ends[-1], len(ends) - 1
    inside = {kind: [row for row in some if begin <= row[0] < end] for kind, some in rows.items()}
    device = inside["kernel"] + inside["copy"] + inside["fill"]
    names = demangle({row[3] for row in inside["kernel"]})
    time, launches = collections.Counter(), collections.Counter()
    for first, last, stream, name in device:
        key = (stream, short(names.get(name, name)))
        time[key] += last - first
        launches[key] += 1
    streams = {stream: union((row[0], row[1]) for row in device if row[2] == stream) / count / 1e6
               for stream in sorted({row[2] for row in device})}
    calls, call_time = collections.Counter(), collections.Counter()
    for first, last, _, name in inside["call"]:
        name = re.sub(r"_v\d+$", "", name)
        calls[name] += 1
        call_time[name] += last - first
    result = {
        "iterations": count,
        "milliseconds": (end - begin) / count / 1e6,
        "busy_milliseconds": union((row[0], row[1]) for row in device) / count / 1e6,
        "busy_by_stream": streams,
        "device": [{"stream": stream, "name": name, "milliseconds": time[stream, name] / count / 1e6,
                    "launches": launches[stream, name] / count} for (stream, name), _ in time.most_common()],
        "calls": {name: {"count": calls[name] / count, "milliseconds": call_time[name] / count / 1e6}
                  for name, _ in call_time.most_common()},
    }
    print(f"{count} iterations of {result['milliseconds']:.2f} ms, the device busy for {result['busy_milliseconds']:.2f}; "
          + ", ".join(f"stream {stream}: {busy:.2f}" for stream, busy in streams.items()))
    for row in result["device"][:arguments.top]:
        print(f"{row['milliseconds']:9.3f} ms {row['launches']:7.1f}x  {row['stream']:3d}  {row['name']}")
    print("the host calls, in an iteration:")
    for name, call in list(result["calls"].items())[:12]:
        print(f"{call['milliseconds']:9.3f} ms {call['count']:7.1f}x  {name}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
