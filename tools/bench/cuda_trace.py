#!/usr/bin/env python3
"""Sums up what tools/bench/cuda_trace.cc wrote down of a training: where the GPU's time goes, and what the host calls.

An iteration ends with a burst of the optimizer's kernels (--mark is a part of their name): a run of them with no other
kernel between on their stream, of more than half as many as the longest. Shorter runs are probes, which use the same
kernel, so iterations are told apart by them. The first --skip iterations and the last, beside which the host is busy
with what comes after, are left out.

    tools/bench/cuda_trace.py TRACE [--iterations 20] [--mark SgdOp] [--skip 5] [--top 30] [--steady] [--json FILE]

--steady fails where these iterations allocate memory of the device or page-locked memory, free such, wait for the
whole device, or copy without a stream.
"""
import argparse
import collections
import gzip
import itertools
import json
import re
import subprocess
import sys

# begin and end in nanoseconds, the stream or thread, the kernel or function
Row = collections.namedtuple("Row", "begin end where name")

# What steady iterations do not call.
NOT_STEADY = re.compile(r"cuda(Malloc|Free|Host(Alloc|Register|Unregister)|DeviceSynchronize$|Memcpy(?!\w*Async))")
WAITS = re.compile(r"cuda\w*Synchronize$")


def read(path):
    """Rows of each kind, by when they begin."""
    rows = {"kernel": [], "copy": [], "fill": [], "call": []}
    with gzip.open(path, "rt") if path.endswith(".gz") else open(path) as file:
        for line in file:
            kind, begin, end, where, name = line.rstrip("\n").split("\t")
            rows[kind].append(Row(int(begin), int(end), int(where), name))
    return {kind: sorted(some) for kind, some in rows.items()}


def demangle(names):
    """As c++filt has them, where there is one."""
    names = sorted(names)
    try:
        text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {name: name for name in names}
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


def runs_of(kernels, mark):
    """Runs of the mark's kernels, each a list of rows, by when they end."""
    runs = []
    for stream in {row.where for row in kernels if mark in row.name}:
        on_stream = (row for row in kernels if row.where == stream)
        runs += [list(run) for marked, run in itertools.groupby(on_stream, lambda row: mark in row.name) if marked]
    return sorted(runs, key=lambda run: run[-1].end)


def iterations_of(kernels, mark):
    """(begin, end, whether it probes) of each iteration but the first, whose begin is not known."""
    runs = runs_of(kernels, mark)
    most = max((len(run) for run in runs), default=0)
    bursts = [run for run in runs if 2 * len(run) > most]
    probes = [run[0].begin for run in runs if 2 * len(run) <= most]
    ends = [run[-1].end for run in bursts]
    return [(begin, end, any(begin <= probe < end for probe in probes)) for begin, end in zip(ends, ends[1:])]


def merged(rows, begin, end):
    """The times between begin and end in which some row was under way, as disjoint intervals."""
    intervals = []
    for row in sorted(rows):
        first, last = max(row.begin, begin), min(row.end, end)
        if first >= last:
            continue
        if intervals and first <= intervals[-1][1]:
            intervals[-1][1] = max(intervals[-1][1], last)
        else:
            intervals.append([first, last])
    return intervals


def time_at_once(interval_lists):
    """For how long so many of the lists had an interval: a counter, by that number."""
    steps = sorted(step for intervals in interval_lists for first, last in intervals
                   for step in ((first, 1), (last, -1)))
    time, depth, before = collections.Counter(), 0, 0
    for when, step in steps:
        time[depth] += when - before
        depth, before = depth + step, when
    return time


def summary(device, iterations, names):
    """Of the iterations' work on the device: means of an iteration, in milliseconds."""
    unit = 1e6 * len(iterations)
    busy, at_once, time, launches = (collections.Counter() for _ in range(4))
    for begin, end, _ in iterations:
        inside = [row for row in device if row.end > begin and row.begin < end]
        of_stream = {stream: merged([row for row in inside if row.where == stream], begin, end)
                     for stream in {row.where for row in inside}}
        for stream, intervals in of_stream.items():
            busy[stream] += sum(last - first for first, last in intervals)
        at_once += time_at_once(of_stream.values())
        for row in inside:
            if row.begin < begin:
                continue
            key = (row.where, short(names.get(row.name, row.name)))
            time[key] += row.end - row.begin
            launches[key] += 1
    span = sum(end - begin for begin, end, _ in iterations)
    some = sum(of for depth, of in at_once.items() if depth > 0)
    return {
        "iterations": len(iterations),
        "milliseconds": span / unit,
        "busy_milliseconds": some / unit,
        "idle_milliseconds": (span - some) / unit,
        "overlap_milliseconds": sum(of for depth, of in at_once.items() if depth > 1) / unit,
        "busy_by_stream": {stream: busy[stream] / unit for stream in sorted(busy)},
        "device": [{"stream": stream, "name": name, "milliseconds": of / unit,
                    "launches": launches[stream, name] / len(iterations)}
                   for (stream, name), of in time.most_common()],
    }


def calls_of(calls, iterations):
    """What the host calls in an iteration: how often, and for how many milliseconds."""
    count, time = collections.Counter(), collections.Counter()
    for row in calls:
        if not iterations[0][0] <= row.begin < iterations[-1][1]:
            continue
        name = re.sub(r"(_ptds|_ptsz)?_v\d+$", "", row.name)
        count[name] += 1
        time[name] += row.end - row.begin
    number = len(iterations)
    return {name: {"count": count[name] / number, "milliseconds": of / number / 1e6}
            for name, of in time.most_common()}


def listed(calls, pattern):
    return ", ".join(f"{call['count']:.4g} {name}" for name, call in calls.items() if pattern.match(name))


def show(title, of, top):
    print(f"{title}: {of['iterations']} iterations of {of['milliseconds']:.2f} ms, the device busy for "
          f"{of['busy_milliseconds']:.2f}, two streams at once for {of['overlap_milliseconds']:.2f}, idle for "
          f"{of['idle_milliseconds']:.2f}")
    print("  " + ", ".join(f"stream {stream} busy for {busy:.2f} ms" for stream, busy in of["busy_by_stream"].items()))
    for row in of["device"][:top]:
        print(f"{row['milliseconds']:9.3f} ms {row['launches']:7.1f}x  {row['stream']:3d}  {row['name']}")


def show_calls(calls):
    print("the host calls, in an iteration:")
    for name, call in list(calls.items())[:12]:
        print(f"{call['milliseconds']:9.3f} ms {call['count']:7.1f}x  {name}")
    print("each iteration waits by " + (listed(calls, WAITS) or "nothing"))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("--iterations", type=int, help="of the training; fails where the trace has others")
    parser.add_argument("--mark", default="SgdOp")
    parser.add_argument("--skip", type=int, default=5)
    parser.add_argument("--top", type=int, default=30)
    parser.add_argument("--steady", action="store_true")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    if arguments.skip < 1:
        parser.error("the first iteration is always skipped")
    return arguments


def steady_of(iterations, arguments):
    """Those that are summed up, by number."""
    found = len(iterations) + 1 if iterations else 0
    if arguments.iterations not in (None, found):
        raise SystemExit(f"error: {found} iterations end with {arguments.mark}, not {arguments.iterations}")
    steady = dict(list(enumerate(iterations, 2))[arguments.skip - 1:-1])
    if not steady:
        raise SystemExit(f"error: of {found} iterations none is left without the first {arguments.skip} and the last")
    return steady


def sum_up(rows, steady):
    device = rows["kernel"] + rows["copy"] + rows["fill"]
    names = demangle({row.name for row in rows["kernel"]})
    iterations = list(steady.values())
    groups = {"probing": [one for one in iterations if one[2]],
              "without probes": [one for one in iterations if not one[2]]}
    return {
        **summary(device, iterations, names),
        "classes": {title: summary(device, group, names) for title, group in groups.items() if group},
        "each": [{"iteration": number, "probes": probes, "milliseconds": (end - begin) / 1e6,
                  "kernels": sum(begin <= row.begin < end for row in rows["kernel"])}
                 for number, (begin, end, probes) in steady.items()],
        "calls": calls_of(rows["call"], iterations),
    }


def main():
    arguments = parse()
    rows = read(arguments.trace)
    result = sum_up(rows, steady_of(iterations_of(rows["kernel"], arguments.mark), arguments))
    for one in result["each"]:
        print(f"iteration {one['iteration']}: {one['milliseconds']:.2f} ms, {one['kernels']} kernels"
              + (", probes" if one["probes"] else ""))
    for title, of in result["classes"].items():
        show(title, of, arguments.top)
    show_calls(result["calls"])
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(result, file, indent=1)
    bad = listed(result["calls"], NOT_STEADY)
    if arguments.steady and bad:
        print(f"error: each iteration calls {bad}")
        sys.exit(1)


if __name__ == "__main__":
    main()
