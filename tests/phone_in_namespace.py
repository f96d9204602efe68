"""Run as root by `unshare --net --mount`: starts adbd alone in there, profiles a file on the phone that it is, prints the measurement.

python phone_in_namespace.py ADBD PROGRAM MODEL C
"""

# ruff: noqa: T201  its output is what it is for

import json
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from small_files import int8_answer, int8_samples

from targets import boards, formats
from targets.base import RunOptions
from targets.errors import EdgepressError

ADDRESS = ("127.0.0.1", 5555)


def wait_for_adbd():
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(ADDRESS) == 0:
                return
        time.sleep(0.1)
    sys.exit("adbd does not answer")


def main(adbd, program, model, sources):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for folder in ("/data", "/data/local/tmp"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
    options = RunOptions(warmup=2, repetitions=5, device=f"adb://{ADDRESS[0]}:{ADDRESS[1]}", settings={"benchmark_model": program})
    with subprocess.Popen([adbd], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        try:
            wait_for_adbd()
            artifact = formats.read(Path(model))
            measured = asdict(boards.target("pixel-8").run(artifact, iter(()), options))
            again = asdict(boards.target("pixel-8").run(artifact, iter(()), options))
            samples = int8_samples(9)
            of_c = boards.target("pixel-8").run(formats.read(Path(sources)), [(samples[:5],), (samples[5:],)], options)
            right = bool((of_c.outputs[0] == int8_answer(samples)).all())
            pushed = sorted(path.name for path in Path("/data/local/tmp/edgepress").iterdir())
            Path(model).write_bytes(Path(model).read_bytes()[:200])
            try:
                boards.target("pixel-8").run(artifact, iter(()), options)
                refusal = None
            except EdgepressError as error:
                refusal = str(error)
        finally:
            daemon.terminate()
    print(
        json.dumps(
            {
                "measured": measured,
                "again": again,
                "pushed": pushed,
                "refusal": refusal,
                "right": right,
                "repetitions": of_c.latency.repetitions,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
