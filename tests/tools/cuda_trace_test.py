#!/usr/bin/env python3
"""tools/bench/cuda_trace.py over a small made-up trace: where iterations end, which of them probe, what streams do, and
what steady iterations may not call."""
import contextlib
import importlib.util
import io
import json
import os
import sys
import unittest
from unittest import mock

sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("cuda_trace", "tools/bench/cuda_trace.py")
cuda_trace = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cuda_trace)

TRACE = os.path.join(os.environ["TEST_TMPDIR"], "trace.tsv")
MILLISECOND = 1000000
SGD, CONV, CODEC = "_Z10EachKernelI5SgdOpEvlT_", "_Z4convPf", "_Z6encodePf"


def iteration(number, probes, calls):
    """Lines of an iteration of 10 ms: 6 of convolutions, 4 of encoding beside their end, 0.3 of updates."""
    start = 10 * number

    def line(kind, begin, end, where, name):
        return "\t".join([kind, *(str(round((start + at) * MILLISECOND)) for at in (begin, end)), str(where), name])

    lines = [line("kernel", 0, 6, 7, CONV), line("kernel", 4, 8, 9, CODEC)]
    if probes:  # two, not next to each other
        lines += [line("kernel", at, at + 0.5, 7, name) for at, name in [(6, SGD), (6.5, CONV), (7, SGD), (7.5, CONV)]]
    for i, at in enumerate([9.7, 9.8, 9.9]):
        lines.append(line("kernel", at, at + 0.1, 7, SGD))
        if i == 1:  # neither of them ends the burst
            lines += [line("fill", at + 0.1, at + 0.1, 7, "memset"), line("kernel", at, at + 0.05, 9, CODEC)]
    return lines + [line("call", 1, 2, 3, call) for call in calls]


def write(iterations=8, probing=(), more_calls=None):
    calls = ["cudaStreamSynchronize_v3020", "cudaLaunchKernel_ptsz_v7000"]
    with open(TRACE, "w") as file:
        for number in range(1, iterations + 1):
            lines = iteration(number, number in probing, calls + (more_calls or {}).get(number, []))
            file.write("\n".join(lines) + "\n")


def run(*options):
    """The exit status, what was printed, and the summary."""
    path = TRACE + ".json"
    if os.path.exists(path):
        os.remove(path)
    printed, status = io.StringIO(), 0
    with mock.patch.object(sys, "argv", ["cuda_trace.py", TRACE, "--skip", "2", "--json", path, *options]):
        with contextlib.redirect_stdout(printed):
            try:
                cuda_trace.main()
            except SystemExit as end:
                status = end.code
    if not os.path.exists(path):
        return status, printed.getvalue(), None
    with open(path) as file:
        return status, printed.getvalue(), json.load(file)


class CudaTraceTest(unittest.TestCase):
    def test_streams_of_an_iteration(self):
        write()
        status, text, result = run("--iterations", "8", "--steady")
        self.assertEqual(status, 0)
        self.assertEqual([one["iteration"] for one in result["each"]], [3, 4, 5, 6, 7])
        self.assertEqual([one["kernels"] for one in result["each"]], [6] * 5)
        self.assertAlmostEqual(result["milliseconds"], 10)
        self.assertAlmostEqual(result["busy_by_stream"]["7"], 6.3)
        self.assertAlmostEqual(result["busy_by_stream"]["9"], 4.05)
        self.assertAlmostEqual(result["overlap_milliseconds"], 2.05)
        self.assertAlmostEqual(result["busy_milliseconds"], 8.3)
        self.assertAlmostEqual(result["idle_milliseconds"], 1.7)
        self.assertEqual(result["device"][0]["launches"], 1)
        self.assertEqual(result["calls"]["cudaLaunchKernel"], {"count": 1, "milliseconds": 1})
        self.assertIn("each iteration waits by 1 cudaStreamSynchronize\n", text)

    def test_iterations_that_probe(self):
        write(probing=(1, 4, 7))
        status, text, result = run("--iterations", "8")
        self.assertEqual(status, 0)
        self.assertEqual([one["probes"] for one in result["each"]], [False, True, False, False, True])
        self.assertEqual(result["classes"]["probing"]["iterations"], 2)
        self.assertAlmostEqual(result["classes"]["probing"]["busy_by_stream"]["7"], 8.3)
        self.assertEqual(result["classes"]["without probes"]["iterations"], 3)
        self.assertAlmostEqual(result["classes"]["without probes"]["busy_by_stream"]["7"], 6.3)
        self.assertIn("iteration 4: 10.00 ms, 10 kernels, probes\n", text)

    def test_what_is_not_steady(self):
        for call in ["cudaMalloc_v3020", "cudaMallocHost_v3020", "cudaHostAlloc_v3020", "cudaFree_v3020",
                     "cudaDeviceSynchronize_v3020", "cudaMemcpy_ptds_v7000"]:
            write(more_calls={5: [call]})
            status, text, _ = run("--steady")
            self.assertEqual(status, 1, call)
            self.assertIn("error: each iteration calls 0.2 cuda", text)
            self.assertEqual(run()[0], 0)
        # The first, and what comes beside the last.
        write(more_calls={1: ["cudaMalloc_v3020"], 8: ["cudaMalloc_v3020"], 5: ["cudaMemcpyAsync_v3020"]})
        self.assertEqual(run("--steady")[0], 0)

    def test_another_number_of_iterations(self):
        write()
        self.assertIn("8 iterations end with SgdOp, not 20", run("--iterations", "20")[0])
        write(iterations=3)
        self.assertIn("none is left", run()[0])
        open(TRACE, "w").close()
        self.assertIn("0 iterations", run("--iterations", "20")[0])

    def test_without_a_demangler(self):
        write()
        with mock.patch.object(cuda_trace.subprocess, "run", side_effect=FileNotFoundError):
            names = {row["name"] for row in run()[2]["device"]}
        self.assertEqual(names, {SGD, CONV, CODEC, "memset"})


if __name__ == "__main__":
    unittest.main()
