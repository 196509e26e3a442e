#!/usr/bin/env python3
"""SZ3 and ZFP on the values that `encke train --dump-activations DIR --at-iteration N` wrote, under the same bounds, as JSON
and a table; with --codecs beside the results of `encke bench codec DIR --json FILE`.

    python3 -m venv --system-site-packages env && env/bin/pip install pysz     # SZ3
    sudo apt-get install libzfp-dev python3-numpy                              # ZFP
    encke bench codec dump --codec fast,dense --json codecs.json
    env/bin/python tools/bench/compressors.py dump --codecs codecs.json --json compressors.json

Each compressor gets what suits it: every layout in its list is tried and the smallest result counts, with the time of that
layout alone; transposing is not timed. Where bounds differ by channel they see the values divided by their bounds, and bound 1;
the bounds, which decoding needs, count as stored (Encke's own figures have them, too). One thread, the best of --repeats.
"""
import argparse
import ctypes
import ctypes.util
import glob
import importlib.metadata
import json
import os
import platform
import time

import numpy as np

import bench_runs

BOUND = ".bound.npy"
MASK = ".mask"


class SZ3:
    """Interpolation or Lorenzo prediction, whichever SZ3 finds better on a sample: its default."""

    name = "sz3"

    def __init__(self):
        import pysz

        self.pysz = pysz
        self.version = "pysz " + importlib.metadata.version("pysz")

    def layouts(self, value):
        """NHWC and NCHW, as 4-D arrays."""
        return [value, np.ascontiguousarray(value.transpose(0, 3, 1, 2))]

    def compress(self, array, bound):
        config = self.pysz.szConfig(array.shape)
        config.errorBoundMode = self.pysz.szErrorBoundMode.ABS
        config.absErrorBound = bound
        return self.pysz.sz.compress(array, config)[0]

    def decompress(self, stream, shape):
        return self.pysz.sz.decompress(stream, np.float32, shape)[0]


class ZFP:
    """Fixed-accuracy mode of Debian's libzfp."""

    name = "zfp"
    FLOAT = 3  # zfp_type_float

    def __init__(self):
        path = ctypes.util.find_library("zfp")
        if path is None:
            raise ImportError("libzfp is not installed")
        self.lib = ctypes.CDLL(path)
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        signatures = {
            "zfp_stream_open": (pointer, [pointer]),
            "zfp_stream_close": (None, [pointer]),
            "zfp_stream_set_accuracy": (ctypes.c_double, [pointer, ctypes.c_double]),
            "zfp_stream_maximum_size": (size, [pointer, pointer]),
            "zfp_stream_set_bit_stream": (None, [pointer, pointer]),
            "zfp_stream_rewind": (None, [pointer]),
            "zfp_field_2d": (pointer, [pointer, ctypes.c_int, size, size]),
            "zfp_field_4d": (pointer, [pointer, ctypes.c_int, size, size, size, size]),
            "zfp_field_free": (None, [pointer]),
            "zfp_compress": (size, [pointer, pointer]),
            "zfp_decompress": (size, [pointer, pointer]),
            "stream_open": (pointer, [pointer, size]),
            "stream_close": (None, [pointer]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(self.lib, name)
            function.restype, function.argtypes = result, arguments
        self.version = "zfp " + ctypes.c_char_p.in_dll(self.lib, "zfp_version_string").value.decode().split()[2]
        self.bound = None

    def layouts(self, value):
        """Channels as images below each other, and NCHW as a 4-D array."""
        images = np.ascontiguousarray(value.transpose(0, 3, 1, 2))
        return [images.reshape(-1, images.shape[3]), images]

    def field(self, array):
        make = self.lib.zfp_field_2d if array.ndim == 2 else self.lib.zfp_field_4d
        return make(array.ctypes.data, self.FLOAT, *reversed(array.shape))

    def run(self, array, buffer, action):
        """`action` on an opened stream over `buffer` (None: as large as may be needed) and the array's field."""
        stream, field = self.lib.zfp_stream_open(None), self.field(array)
        self.lib.zfp_stream_set_accuracy(stream, self.bound)
        if buffer is None:
            buffer = np.empty(self.lib.zfp_stream_maximum_size(stream, field), np.uint8)
        bits = self.lib.stream_open(buffer.ctypes.data, buffer.nbytes)
        self.lib.zfp_stream_set_bit_stream(stream, bits)
        self.lib.zfp_stream_rewind(stream)
        size = action(stream, field)
        self.lib.stream_close(bits)
        self.lib.zfp_field_free(field)
        self.lib.zfp_stream_close(stream)
        if size == 0:
            raise RuntimeError("libzfp failed")
        return buffer[:size]

    def compress(self, array, bound):
        self.bound = bound
        return self.run(array, None, self.lib.zfp_compress)

    def decompress(self, stream, shape):
        array = np.empty(shape, np.float32)
        self.run(array, stream, self.lib.zfp_decompress)
        return array


def read_dump(folder):
    """(layer, value as NHWC float32, bounds, mask) of each dumped value, in the network's order."""
    for path in sorted(glob.glob(os.path.join(folder, "*" + BOUND))):
        stem = path[: -len(BOUND)]
        mask = stem.endswith(MASK)
        base = stem[: -len(MASK)] if mask else stem
        yield os.path.basename(base)[5:], np.load(base + ".npy"), np.load(path), mask


def best_time(repeats, action):
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        result = action()
        best = min(best, time.perf_counter() - start)
    return best, result


def errors(original, decoded, bound, mask):
    finite = np.isfinite(original)
    difference = np.abs(original[finite].astype(np.float64) - decoded[finite]) / bound
    special = original[~finite].view(np.uint32) != decoded[~finite].view(np.uint32)
    return {
        "greatest_error_over_bound": float(difference.max(initial=0)),
        "rms_error_over_bound": float(np.sqrt(np.mean(difference**2))) if difference.size else 0.0,
        "over_bound": int((~(difference <= 1)).sum()),
        "mask_changed": int(((original > 0) != (decoded > 0)).sum()) if mask else 0,
        "special_changed": int(special.sum()),
    }


def measure(compressor, value, bounds, mask, repeats):
    bound, beside = float(bounds[0]), 0
    if bounds.size > 1:
        bound, beside = 1.0, bounds.nbytes
        value = value / bounds
    smallest = None
    for array in compressor.layouts(value):
        encode, stream = best_time(repeats, lambda: compressor.compress(array, bound))
        stored = stream.size + beside
        if smallest is not None and stored >= smallest["stored_bytes"]:
            continue
        decode, decoded = best_time(repeats, lambda: compressor.decompress(stream, array.shape))
        smallest = {
            "compressor": compressor.name,
            "raw_bytes": array.nbytes,
            "stored_bytes": int(stored),
            "ratio": array.nbytes / stored,
            "gb_per_second": {"encode": array.nbytes / encode / 1e9, "decode": array.nbytes / decode / 1e9},
            **errors(array, decoded, bound, mask),
        }
    return smallest


def kind_of(bounds, mask):
    return "relu" if mask else "norm" if bounds.size > 1 else "other"


def total(rows):
    raw, stored = sum(row["raw_bytes"] for row in rows), sum(row["stored_bytes"] for row in rows)
    speed = {
        way: raw / sum(row["raw_bytes"] / row["gb_per_second"][way] for row in rows) for way in ("encode", "decode")
    }
    broken = {key: sum(row[key] for row in rows) for key in ("over_bound", "mask_changed", "special_changed")}
    greatest = max(row["greatest_error_over_bound"] for row in rows)
    return {
        "values": len(rows),
        "raw_bytes": raw,
        "stored_bytes": stored,
        "ratio": raw / stored,
        "gb_per_second": speed,
        "greatest_error_over_bound": greatest,
        **broken,
    }


def totals_of(rows):
    totals = []
    for compressor in dict.fromkeys(row["compressor"] for row in rows):
        own = [row for row in rows if row["compressor"] == compressor]
        for kind in [*dict.fromkeys(row["kind"] for row in own), "all"]:
            chosen = [row for row in own if kind in ("all", row["kind"])]
            totals.append({"compressor": compressor, "kind": kind, **total(chosen)})
    return totals


def against(rows, codecs, codec, compressor):
    """How `codec` of `encke bench codec` fares beside `compressor` on the layers that both have."""
    theirs = {row["layer"]: row for row in rows if row["compressor"] == compressor}
    ours = {row["layer"]: row for row in codecs["layers"] if row["codec"] == codec}
    layers = [layer for layer in ours if layer in theirs]
    if not layers:
        return None
    smaller = [layer for layer in layers if ours[layer]["stored_bytes"] < theirs[layer]["stored_bytes"]]
    us, them = total([ours[layer] for layer in layers]), total([theirs[layer] for layer in layers])
    faster = {way: us["gb_per_second"][way] / them["gb_per_second"][way] for way in ("encode", "decode")}
    least = {
        way: min(ours[layer]["gb_per_second"][way] / theirs[layer]["gb_per_second"][way] for layer in layers)
        for way in ("encode", "decode")
    }
    return {
        "codec": codec,
        "compressor": compressor,
        "layers": len(layers),
        "smaller_on": len(smaller),
        "larger_on": [layer for layer in layers if layer not in smaller],
        "size_over_theirs": us["stored_bytes"] / them["stored_bytes"],
        "times_as_fast": faster,
        "times_as_fast_at_least": least,
    }


def show(totals, comparisons):
    print(f"{'':10}{'kind':8}{'values':>7}{'ratio':>8}{'enc GB/s':>10}{'dec GB/s':>10}{'max error':>11}", end="")
    print(f"{'over bound':>12}{'mask broken':>13}")
    for row in totals:
        speed = row["gb_per_second"]
        print(f"{row['compressor']:10}{row['kind']:8}{row['values']:7}{row['ratio']:8.2f}", end="")
        print(f"{speed['encode']:10.3f}{speed['decode']:10.3f}{row['greatest_error_over_bound']:11.5f}", end="")
        print(f"{row['over_bound']:12}{row['mask_changed']:13}")
    for c in comparisons:
        faster, least = c["times_as_fast"], c["times_as_fast_at_least"]
        print(f"{c['codec']} beside {c['compressor']}: smaller on {c['smaller_on']} of {c['layers']} values, ", end="")
        print(f"{c['size_over_theirs']:.2f} of the size, {faster['encode']:.1f} / {faster['decode']:.1f} times as fast ", end="")
        print(f"(encode / decode; at least {least['encode']:.1f} / {least['decode']:.1f})")


def available(names):
    compressors = []
    for kind in (SZ3, ZFP):
        if kind.name in names:
            try:
                compressors.append(kind())
            except ImportError as error:
                raise SystemExit(f"{kind.name}: {error}; the head of {__file__} says how to install it") from error
    return compressors


def processor():
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump", help="folder that encke train --dump-activations wrote")
    parser.add_argument("--compressors", default="sz3,zfp", help="some of sz3,zfp")
    parser.add_argument("--codecs", metavar="FILE", help="results of encke bench codec --json on the same dump")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="where to save the results")
    parser.add_argument("--layers", action="store_true", help="save those of each value, too")
    options = parser.parse_args()
    compressors = available(options.compressors.split(","))
    rows = []
    for layer, value, bounds, mask in read_dump(options.dump):
        for compressor in compressors:
            row = measure(compressor, value, bounds, mask, options.repeats)
            rows.append({"layer": layer, "kind": kind_of(bounds, mask), **row})
    if not rows:
        raise SystemExit(f"{options.dump}: there are no dumped values here")
    comparisons, codec_totals = [], []
    if options.codecs:
        with open(options.codecs) as file:
            codecs = json.load(file)
        codec_totals = codecs["totals"]
        pairs = [against(rows, codecs, codec, c.name) for codec in ("dense", "fast") for c in compressors]
        comparisons = [pair for pair in pairs if pair]
    totals = totals_of(rows)
    show(totals, comparisons)
    if options.json:
        command = "tools/bench/compressors.py <dump dir>" + (" --codecs <codecs json>" if options.codecs else "")
        result = {
            "command": command + f" --repeats {options.repeats}",
            "machine": processor(),
            "versions": [compressor.version for compressor in compressors],
            "against": comparisons,
            "totals": totals,
            "codecs": codec_totals,
        }
        if options.layers:
            result["layers"] = rows
        bench_runs.save(result, options.json)


if __name__ == "__main__":
    main()
