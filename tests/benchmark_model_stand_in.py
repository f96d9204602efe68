"""A stand-in for LiteRT's benchmark_model where nothing runs Android's programs: LiteRT itself, by its C interface.

It takes the same flags and prints in the same words what it measured; its profile is that of LiteRT's own profiler.
"""

# ruff: noqa: T201  its output is what it is for

import argparse
import resource
import sys
import time

import numpy as np
from litert_library import OPERATOR, OPERATOR_OF_DELEGATE, Model


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


def timed(model, runs, seconds=0):
    times, end = [], time.perf_counter() + seconds
    while len(times) < runs or time.perf_counter() < end:
        begin = time.perf_counter()
        model.invoke()
        times.append(time.perf_counter() - begin)
    return times


def profile(model, runs):
    """Mean milliseconds of each operator, or of what a delegate runs in its place, in the order in which they ran."""
    found = {}
    for event in model.profiled(runs):
        if event.kind in (OPERATOR, OPERATOR_OF_DELEGATE):
            tag = event.tag.decode()
            name = f"Delegate/{tag}:{event.number}" if event.kind == OPERATOR_OF_DELEGATE else f"[{tag}]:{event.number}"
            found.setdefault((name, tag), []).append(event.elapsed_us / 1000)
    print("INFO: Operator-wise Profiling Info for Regular Benchmark Runs:")
    print("============================== Run Order ==============================")
    print("\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]")
    whole, so_far = sum(np.mean(times) for times in found.values()), 0.0
    for (name, tag), times in found.items():
        share = 100 * np.mean(times) / whole if whole else 0
        so_far += share
        row = f"{tag:>24}\t{times[0]:9.3f}\t{np.mean(times):9.3f}\t{share:7.3f}%\t{so_far:7.3f}%"
        print(f"\t{row}\t{0:10.3f}\t{1:9}\t{name}")
    print()


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--graph", required=True)
    for name, usual in (("num_threads", 1), ("warmup_runs", 1), ("num_runs", 50)):
        flags.add_argument(f"--{name}", type=int, default=usual)
    flags.add_argument("--min_secs", type=float, default=1)
    flags.add_argument("--enable_op_profiling", default="false")
    chosen = flags.parse_args()
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        model = Model(chosen.graph, chosen.num_threads)
    except RuntimeError as error:
        print(f"ERROR: {error}\nBenchmarking failed.")
        return 1
    init = time.perf_counter() - begin
    warmup = timed(model, chosen.warmup_runs)
    print(f"INFO: {statistics(warmup)}\n")
    times = timed(model, chosen.num_runs, chosen.min_secs)
    print(f"INFO: {statistics(times)}\n")
    first, warm, mean = warmup[0] * 1e6, np.mean(warmup) * 1e6, np.mean(times) * 1e6
    averages = f"Warmup (avg): {warm:g}, Inference (avg): {mean:g}"
    print(f"INFO: Inference timings in us: Init: {init * 1e6:.0f}, First inference: {first:.0f}, {averages}")
    delta = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"INFO: Memory footprint delta from the start of the tool (MB): init={delta:g} overall={delta:g}")
    if chosen.enable_op_profiling == "true":
        profile(model, chosen.num_runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
