"""Reads sources one after the other, in a process that damaged files may end: `python read_damaged.py` with a job a line on its input.

A job is `{"source": …, "weights": … or null, "folder": …}`. For each a line of JSON is written: `said` (the error's message, null for a
network), `problem` (what an error other than UserError was), `peak` (the most memory in bytes of a process) and `seconds` of the processor.
"""

import json
import resource
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import h5py  # noqa: F401  asks the system about itself when it is imported
import numpy as np
import torch

from compress import sources
from compress.reading import hdf5
from compress.reading.torchscript import probe
from compress.sources.base import SourceOptions
from compress.unlifted import network
from targets.errors import UserError
from targets.runner import memory, memory_before

EXAMPLE = (np.random.default_rng(0).standard_normal((1, 1, 8, 8)).astype(np.float32),)
MEMORY = 8 << 30
"""Addresses that one file may ask for: more than may be filled, so that what would fill them is seen and not stopped."""

SECONDS = 10
"""Of the processor, after which a signal ends this process, wherever it is."""

FORBIDDEN = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect")


class ForbiddenError(BaseException):
    """The file made something run; no reader may catch it."""


def watch(event, given):
    ours = event == "subprocess.Popen" and any(program in given[1] for program in (hdf5.PROBE, probe.PROBE, network.LIMITED))
    if event in FORBIDDEN and watching and not ours:
        raise ForbiddenError(f"{event} was called")


def read(job):
    options = SourceOptions(job["source"], job["weights"], folder=Path(job["folder"]))
    try:
        sources.load(options, EXAMPLE)
    except UserError as error:
        return {"said": str(error), "problem": None}
    except (Exception, ForbiddenError) as error:  # noqa: BLE001  whatever it is, is what is looked for
        place = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in place if "/compress/" in frame.filename]
        return {"said": None, "problem": " ".join(f"{type(error).__name__}: {error} ({' '.join(ours[-3:])})".split())[:600]}
    return {"said": None, "problem": None}


watching = False
warnings.simplefilter("ignore")
torch.set_num_threads(1)
sys.addaudithook(watch)
answers, sys.stdout = sys.stdout, sys.stderr
limited = False

for line in sys.stdin:
    used = memory_before()
    begin = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    watching = True
    answer = read(json.loads(line))
    watching = False
    signal.setitimer(signal.ITIMER_PROF, 0)
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    answer |= {"peak": max(memory("VmHWM") if used else 0, child), "seconds": time.process_time() - begin}
    print(json.dumps(answer), file=answers, flush=True)
    if not limited:  # the first is a file in order, which has imported everything
        limited = True
        resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + MEMORY,) * 2)
