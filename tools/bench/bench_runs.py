"""What the studies of this folder share: running `encke compare`, and keeping a report."""
import json
import subprocess
import tempfile


def compare(encke, network, *arguments, data="synthetic"):
    """The `modes` of what `encke compare NETWORK --data DATA ARGUMENTS` measures; None: the config's data."""
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        command = [encke, "compare", network, "--json", result.name]
        command += ["--data", data] if data else []
        command += [str(argument) for argument in arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return json.load(open(result.name))["modes"]


def save(report, path):
    """Writes the report as JSON; no path, nothing."""
    if not path:
        return
    with open(path, "w") as file:
        json.dump(report, file, indent=1)
        file.write("\n")
