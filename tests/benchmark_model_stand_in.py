"""A stand-in for LiteRT's benchmark_model where nothing runs Android's programs: it times the file on LiteRT's Python interpreter.

It takes the same flags and prints in the same words what it measured; the profile has LiteRT's operators, each with an equal share of the
mean time, which this interpreter doesn't tell apart.
"""

# ruff: noqa: T201  its output is what it is for

import argparse
import resource
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def statistics(times):
    microseconds = np.asarray(times) * 1e6
    p5, median, p95 = np.percentile(microseconds, [5, 50, 95])
    about = {
        "count": f"{len(times)}",
        "first": f"{microseconds[0]:.0f}",
        "curr": f"{microseconds[-1]:.0f}",
        "min": f"{microseconds.min():.0f}",
        "max": f"{microseconds.max():.0f}",
        "avg": f"{microseconds.mean():g}",
        "std": f"{microseconds.std():.0f}",
        "p5": f"{p5:.0f}",
        "median": f"{median:.0f}",
        "p95": f"{p95:.0f}",
    }
    return " ".join(f"{name}={value}" for name, value in about.items())


def timed(interpreter, runs):
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - begin)
    return times


def profile(interpreter, mean):
    names = {entry["index"]: entry["name"] for entry in interpreter.get_tensor_details()}
    operators = [entry for entry in interpreter._get_ops_details() if entry["op_name"] != "DELEGATE"]
    share = mean * 1000 / len(operators)
    print("INFO: Operator-wise Profiling Info for Regular Benchmark Runs:")
    print("============================== Run Order ==============================")
    print("\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]")
    for number, entry in enumerate(operators):
        name = f"[{names[int(entry['outputs'][0])]}]:{number}"
        print(f"\t{entry['op_name']:>24}\t{share:9.3f}\t{share:9.3f}\t{0:7.3f}%\t{0:7.3f}%\t{0:10.3f}\t{1:9}\t{name}")
    print()


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--graph", required=True)
    for name, usual in (("num_threads", 1), ("warmup_runs", 1), ("num_runs", 50)):
        flags.add_argument(f"--{name}", type=int, default=usual)
    flags.add_argument("--min_secs", type=float)
    flags.add_argument("--enable_op_profiling", default="false")
    chosen = flags.parse_args()
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        interpreter = Interpreter(chosen.graph, num_threads=chosen.num_threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        print(f"ERROR: {error}\nBenchmarking failed.")
        return 1
    init = time.perf_counter() - begin
    warmup = timed(interpreter, chosen.warmup_runs)
    print(f"INFO: {statistics(warmup)}\n")
    times = timed(interpreter, chosen.num_runs)
    print(f"INFO: {statistics(times)}\n")
    first, warm, mean = warmup[0] * 1e6, np.mean(warmup) * 1e6, np.mean(times) * 1e6
    averages = f"Warmup (avg): {warm:g}, Inference (avg): {mean:g}"
    print(f"INFO: Inference timings in us: Init: {init * 1e6:.0f}, First inference: {first:.0f}, {averages}")
    delta = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"INFO: Memory footprint delta from the start of the tool (MB): init={delta:g} overall={delta:g}")
    if chosen.enable_op_profiling == "true":
        profile(interpreter, mean / 1e6)
    return 0


if __name__ == "__main__":
    sys.exit(main())
