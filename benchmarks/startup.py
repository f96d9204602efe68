"""How long `edgepress --help` takes, beside a Python that imports nothing: python benchmarks/startup.py."""

import json
import statistics
import subprocess
import sys
import time


def seconds(command: list[str], repetitions: int = 15) -> float:
    """Median wall time of a command."""
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    nothing = seconds([sys.executable, "-c", "pass"])
    help_text = seconds([sys.executable, "-m", "cli", "--help"])
    print(json.dumps({"python_s": round(nothing, 4), "help_s": round(help_text, 4), "ratio": round(help_text / nothing, 2)}))


if __name__ == "__main__":
    main()
