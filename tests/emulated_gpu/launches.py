#!/usr/bin/env python3
"""Makes C++ of a .cu or .cuh file: launches become calls of encke::emulated_gpu::Launcher. Lines keep their numbers.

    launches.py FROM TO
"""
import re
import sys

KERNEL = re.compile(r"(\w+(?:<[\w, ]+>)?)(\s*)<<<")


def end_of_call(text, begin):
    """Behind the bracket that closes the one at text[begin]."""
    depth = 0
    for i in range(begin, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i + 1
    raise ValueError("a launch has no end")


def rewrite(text):
    parts, at = [], 0
    for launch in KERNEL.finditer(text):
        configured = text.index(">>>", launch.end())
        begin = text.index("(", configured)
        end = end_of_call(text, begin)
        arguments = text[begin + 1 : end - 1]
        parts += [
            text[at : launch.start()],
            f"::encke::emulated_gpu::Launcher({launch.group(2)}{text[launch.end():configured]}).Launch(",
            f"[](auto... a) {{ {launch.group(1)}(a...); }}, {arguments})",
        ]
        at = end
    return "".join(parts) + text[at:]


def main():
    source, target = sys.argv[1:]
    with open(source) as file:
        text = file.read()
    with open(target, "w") as file:
        file.write(f'#line 1 "{source}"\n' + rewrite(text))


if __name__ == "__main__":
    main()
