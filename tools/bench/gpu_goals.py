#!/usr/bin/env python3
"""The numbers that Encke is to reach on a GPU, beside those that tools/gpu_check.sh has measured: a table.

    tools/bench/gpu_goals.py gpu_check/gpu_check.json
"""
import argparse
import json


LIMITED = "encke:training.memory_limit="


def ratio(part, numerator, denominator):
    """Of two numbers of a comparison's modes; None where one is missing."""
    modes = (part or {}).get("modes", {})
    try:
        return numerator(modes) / denominator(modes)
    except (KeyError, ZeroDivisionError):
        return None


def speed(mode):
    return lambda modes: modes[mode]["images_per_second"]


def peak(mode):
    return lambda modes: modes[mode]["peak_bytes"]["total"]


def over_pytorch(results, case):
    baseline = (results.get(f"pytorch_{case}") or {}).get("images_per_second", {}).get("channels_last")
    return ratio(results.get(f"encke_{case}"), speed("raw"), lambda _: baseline) if baseline else None


def codec_speed(results, codec, direction):
    """The slowest of all inputs and bounds, in GB/s of fp32."""
    rows = [row for row in (results.get("codec") or {}).get("results", [])
            if row["codec"] == codec and row["coded_as"] == codec and row["dtype"] == "fp32"]
    return min((row[f"{direction}_gb_per_s"] for row in rows), default=None)


def goals(results):
    """(what, measured or None, wanted at least, format)"""
    for network in ("resnet50", "vgg16", "resnet18"):
        for precision in ("tf32", "bf16"):
            yield f"{network} {precision}: raw over PyTorch", over_pytorch(results, f"{network}_{precision}"), 1.0, "{:.2f}x"
    for precision, least in (("tf32", 0.9), ("bf16", 0.8)):
        for network in ("resnet50", "vgg16", "resnet18"):
            compared = results.get(f"encke_{network}_{precision}")
            yield f"{network} {precision}: encke over raw", ratio(compared, speed("encke"), speed("raw")), least, "{:.2f}x"
        limited = results.get(f"limited_resnet50_{precision}") or {}
        for mode in limited.get("modes", {}):
            if mode.startswith(LIMITED):
                yield f"resnet50 {precision}: in {mode[len(LIMITED):]}", ratio(limited, speed(mode), speed("raw")), least, "{:.2f}x"
    for codec, direction, least in (("fast", "encode", 1000), ("fast", "decode", 1500), ("dense", "encode", 300),
                                    ("dense", "decode", 400)):
        yield f"codec {codec}: {direction}", codec_speed(results, codec, direction), least, "{:.0f} GB/s"
    for mode in ("encke", "encke:codec=dense", "encke:codec=auto", LIMITED + "2.57GiB"):
        found = ratio(results.get("peak_resnet50_256"), peak("raw"), peak(mode))
        yield f"resnet50, batch 256: raw's peak over {mode}'s", found, 8.0, "{:.1f}x"
    largest = results.get("largest") or {}
    found = largest["encke"] / largest["raw"] if largest.get("raw") else None
    yield "resnet50: largest batch over raw's", found, 6.0, "{:.1f}x"
    accuracy = results.get("accuracy") or {}
    # In standard errors, the wrong way being below 0.
    found = None
    if "difference" in accuracy:
        error = accuracy["standard_error"]
        found = -abs(accuracy["difference"]) / error if error > 0 else -float(accuracy["difference"] != 0) * 9.9
    yield "resnet18, accuracy: difference in standard errors", found, -2.0, "{:.1f}"


def table(results):
    rows = [("number", "measured", "wanted", "")]
    for what, measured, wanted, text in goals(results):
        verdict = "-" if measured is None else "reached" if measured >= wanted else "MISSED"
        rows.append((what, "-" if measured is None else text.format(measured), text.format(wanted), verdict))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", help="gpu_check.json")
    with open(parser.parse_args().results, encoding="utf-8") as file:
        print(table(json.load(file)["results"]))


if __name__ == "__main__":
    main()
