"""Opening TorchScript in a process of its own first: torch reads it with recursion without bounds, which ends the process that does it."""

import re
import subprocess
import sys
import zipfile

SHALLOW = 8 << 10
"""Bytes of code and pickles in which nothing lies in each other as deep as a stack is: 12,000 opening brackets are the shortest way."""

STACK, SECONDS = 4 << 20, 8
"""Bytes of stack, half of what this process has, and seconds of the processor, several times what a large network takes."""

PROBE = f"""
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_STACK, ({STACK}, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
except ImportError:
    pass
import torch
torch._C.import_ir_module_from_buffer(torch._C.CompilationUnit(), sys.stdin.buffer.read(), torch.device("cpu"), {{}}, False)
"""


def check_depth(content: bytes, archive: zipfile.ZipFile) -> None:
    """RuntimeError, as torch's for what it can't read, where opening an archive, packed into `content`, ends the process or never ends."""
    read = re.compile(r"[^/]*/(code/.*\.py|[^/]*\.pkl)")
    if sum(entry.file_size for entry in archive.infolist() if read.fullmatch(entry.filename)) <= SHALLOW:
        return
    done = subprocess.run([sys.executable, "-c", PROBE], input=content, capture_output=True, check=False)
    if done.returncode not in (0, 1):  # one is an error of Python's, which this process will have in its turn
        raise RuntimeError("reading it ends the process, or doesn't end: its parts lie in each other deeper than those of any network")
