"""What an inference costs in energy, by the machine's own power sensor. Self-contained, standard library only, Python 3.7 or later.

Known are, in this order: INA chips of Texas Instruments that Linux drives (/sys/class/hwmon), the power management chip of a Raspberry
Pi 5 (`vcgencmd pmic_read_adc`), and the energy counters of Intel's and AMD's processors (RAPL, /sys/class/powercap).
"""

# ruff: noqa: B905  zip() has no strict before Python 3.10

from __future__ import annotations

import re
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

READINGS_A_SECOND = 20
"""Of a sensor at most: less often than INA chips convert, and little work for the processor."""
CHANNELS = (1, 2, 3)
"""Of an INA chip; what has higher numbers in hwmon are its shunts' voltages and sums."""
UNREADABLE = (OSError, ValueError, subprocess.SubprocessError)
"""What reading a sensor may raise: a file that isn't there, is switched off or says no number, a program that fails."""


class Rails:
    """Sensors of the moment: `watts` reads each, by its name."""

    def __init__(self, watts: Mapping[str, Callable[[], float]], covers: str) -> None:
        self.watts, self.name, self.covers = watts, ", ".join(watts), covers

    def joules(self, seconds: float) -> float:
        """Of the time since the last reading."""
        return sum(read() for read in self.watts.values()) * seconds


class Counters:
    """Counters in microjoules, a zone for each processor package, which begin anew at the end of their range."""

    covers = "the processor packages with cores, caches and graphics inside; not memory, disks or the power supply's losses"

    def __init__(self, zones: Sequence[Path]) -> None:
        self.zones, self.name = zones, "RAPL " + ", ".join(said(zone / "name") for zone in zones)
        self.ranges = [number(zone / "max_energy_range_uj") + 1 for zone in zones]
        self.last = self.counts()

    def counts(self) -> list[int]:
        """Each zone's counter as it is now."""
        return [number(zone / "energy_uj") for zone in self.zones]

    def joules(self, seconds: float) -> float:  # noqa: ARG002  what counts energy needs no time
        """Since the last reading."""
        last, self.last = self.last, self.counts()
        return sum((now - before) % size for now, before, size in zip(self.last, last, self.ranges)) / 1e6


class Meter(threading.Thread):
    """Reads a sensor for as long as its context lasts. OSError at its end where the sensor went away."""

    def __init__(self, sensor: Any) -> None:
        super().__init__(daemon=True)
        self.sensor, self.ended = sensor, threading.Event()
        self.joules, self.seconds, self.readings, self.complaint = 0.0, 0.0, 0, ""

    def __enter__(self) -> Meter:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()
        if self.complaint:
            raise OSError(self.sensor.name + " went away: " + self.complaint)

    def run(self) -> None:
        """What the thread does."""
        try:
            self.sensor.joules(0.0)
            last = time.perf_counter()
            ending = False
            while not ending:
                ending = self.ended.wait(1 / READINGS_A_SECOND)
                now = time.perf_counter()
                self.joules += self.sensor.joules(now - last)
                self.seconds += now - last
                self.readings, last = self.readings + 1, now
        except UNREADABLE as error:
            self.complaint = str(error)

    @property
    def watts(self) -> float:
        """The mean over the time."""
        return self.joules / self.seconds


def measure(infer: Callable[[], object], seconds: float, system: Path) -> dict[str, Any]:
    """Millijoules of one inference: the mean power while they follow each other, idle power included, times the time that one takes.

    Gives `millijoules`, `sensor`, what it `covers`, `watts` meanwhile, `idle_watts` beforehand for a third of the time, `readings`,
    `seconds` and `inferences`; or the `reason` why there is nothing. `system` is where sysfs is.
    """
    try:
        sensor = find(system)
        with Meter(sensor) as idle:
            time.sleep(seconds / 3)
        begin, inferences = time.perf_counter(), 0
        with Meter(sensor) as busy:
            while time.perf_counter() < begin + seconds:
                infer()
                inferences += 1
            took = time.perf_counter() - begin
    except (LookupError, OSError) as error:
        return {"reason": str(error)}
    return {
        "millijoules": busy.watts * took / inferences * 1000,
        "sensor": sensor.name,
        "covers": sensor.covers,
        "watts": busy.watts,
        "idle_watts": idle.watts,
        "readings": busy.readings,
        "seconds": took,
        "inferences": inferences,
    }


def find(system: Path) -> Any:
    """The sensor that covers most of this machine. LookupError with the reason where there is none that may be read."""
    channels = ina_channels(system)
    if channels:
        return Rails(channels, "what flows through " + ("its shunt" if len(channels) == 1 else "their shunts, added"))
    if readable(pmic_watts):
        covers = "all rails of the power management chip, volts times amperes, added; not what USB devices take or the chip itself loses"
        return Rails({"vcgencmd pmic_read_adc": pmic_watts}, covers)
    zones = [zone for zone in sorted(system.glob("class/powercap/intel-rapl:*")) if label(zone / "name").startswith("package")]
    if not zones:
        raise LookupError("no power sensor")
    try:
        return Counters(zones)
    except PermissionError as error:
        raise LookupError("RAPL may be read by root only; run: sudo chmod a+r " + str(error.filename)) from None
    except UNREADABLE as error:
        raise LookupError("RAPL can't be read: " + str(error)) from None


def ina_channels(system: Path) -> dict[str, Callable[[], float]]:
    """Watts of each channel of all INA chips, by its label.

    Where one is the board's input (`VDD_IN` on NVIDIA's Jetsons), the others are parts of it, and it stands alone.
    """
    found = {}
    for folder in sorted(system.glob("class/hwmon/hwmon*")):
        chip = label(folder / "name")
        for channel in map(str, CHANNELS if chip.startswith("ina") else ()):
            watts = ina_watts(folder, channel)
            if readable(watts):
                found[label(folder / ("in" + channel + "_label")) or chip + " of " + folder.name + ", channel " + channel] = watts
    return {name: watts for name, watts in found.items() if name.endswith("_IN")} or found


def ina_watts(folder: Path, channel: str) -> Callable[[], float]:
    """Reads a channel's microwatts, or where the driver doesn't say them its milliamperes and millivolts."""
    power, current, voltage = (folder / (what + channel + "_input") for what in ("power", "curr", "in"))
    return lambda: (number(power) if power.exists() else number(current) * number(voltage)) / 1e6


def pmic_watts() -> float:
    """Volts times amperes of every rail of a Raspberry Pi 5. ValueError on other ones."""
    done = subprocess.run(["vcgencmd", "pmic_read_adc"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5, check=False)
    values = dict(re.findall(r"(\w+_[AV]) \w+\(\d+\)=(-?[\d.]+)", done.stdout.decode("ascii", "replace")))
    rails = [name[:-2] for name in values if name.endswith("_A") and name[:-1] + "V" in values]
    if not rails:
        raise ValueError("vcgencmd says nothing of rails")
    return sum(float(values[rail + "_A"]) * float(values[rail + "_V"]) for rail in rails)


def readable(watts: Callable[[], float]) -> bool:
    """Whether a sensor is there and switched on."""
    try:
        watts()
    except UNREADABLE:
        return False
    return True


def label(path: Path) -> str:
    """What a chip calls itself or one of its channels; nothing where it doesn't."""
    try:
        return said(path)
    except OSError:
        return ""


def said(path: Path) -> str:
    """A small file of the system."""
    return path.read_text(encoding="utf-8", errors="replace").strip()


def number(path: Path) -> int:
    """A number in such a file."""
    return int(said(path))
