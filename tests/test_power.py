"""Energy by a machine's own sensors: files as Linux shows them, in a folder of the test's own, and a program like a Pi 5's."""

import io
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from small_files import dense_tflite

from compress.profile_command import profile_file
from compress.progress import Silent
from compress.report import terminal
from targets import jobs, power

PI_5 = """\
 3V7_WL_SW_A current(0)=0.01000000A
   3V3_SYS_A current(1)=0.20000000A
  VDD_CORE_A current(7)=1.50000000A
 3V7_WL_SW_V volt(8)=3.70000000V
   3V3_SYS_V volt(9)=3.30000000V
  VDD_CORE_V volt(15)=0.80000000V
     EXT5V_V volt(24)=5.10000000V
      BATT_V volt(25)=0.00000000V
"""
PROFILE = {"data": None, "metric": "accuracy", "samples": 1, "repetitions": 2, "precision": None, "threads": 1, "seed": 0}


def chip(system, number, name, **files):
    folder = system / "class/hwmon" / f"hwmon{number}"
    folder.mkdir(parents=True)
    for file, text in {"name": name, **files}.items():
        (folder / file).write_text(f"{text}\n")
    return folder


def zone(system, number, name, microjoules, most=65_532_610_987):
    folder = system / "class/powercap" / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    for file, text in {"name": name, "energy_uj": microjoules, "max_energy_range_uj": most}.items():
        (folder / file).write_text(f"{text}\n")
    return folder


@pytest.fixture(autouse=True)
def _no_program(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_a_chip_that_says_its_power_gives_it_and_what_an_inference_takes_of_it(tmp_path):
    chip(tmp_path, 0, "cpu_thermal", temp1_input=51000)
    chip(tmp_path, 1, "ina219", power1_input=2_500_000, curr1_input=1, in0_input=1, in1_input=1)
    found = power.measure(lambda: None, 0.2, tmp_path)
    assert found["sensor"] == "ina219 of hwmon1, channel 1"
    assert found["covers"] == "what flows through its shunt"
    assert found["watts"] == pytest.approx(2.5)
    assert found["idle_watts"] == pytest.approx(2.5)
    assert found["millijoules"] == pytest.approx(2500 * found["seconds"] / found["inferences"])
    assert 0 < found["readings"] <= found["seconds"] * power.READINGS_A_SECOND + 1


def test_channels_without_power_are_current_times_voltage_added_but_those_that_are_off_and_the_shunts_own_numbers(tmp_path):
    folder = chip(tmp_path, 0, "ina3221", curr1_input=400, in1_input=5000, in1_label="CPU", curr2_input=100, in2_input=3300)
    (folder / "in3_input").write_text("")  # what is off gives no number
    (folder / "curr4_input").write_text("500")  # the sum of the currents
    (folder / "in4_input").write_text("9000")  # channel 1's shunt, in microvolts
    sensor = power.find(tmp_path)
    assert sensor.name == "CPU, ina3221 of hwmon0, channel 2"
    assert sensor.covers.endswith("added")
    assert sensor.joules(2.0) == pytest.approx(2 * (0.4 * 5 + 0.1 * 3.3))


def test_the_boards_input_stands_alone_where_one_is_called_so(tmp_path):
    rails = {"in1_label": "VDD_IN", "in2_label": "VDD_CPU_GPU_CV", "curr1_input": 1000, "in1_input": 5000, "curr2_input": 600}
    chip(tmp_path, 2, "ina3221", in2_input=5000, **rails)
    assert power.find(tmp_path).name == "VDD_IN"
    assert power.find(tmp_path).joules(1.0) == pytest.approx(5)


def test_a_raspberry_pi_5_tells_amperes_and_volts_of_its_rails(tmp_path):
    (tmp_path / "said").write_text(PI_5)
    program = tmp_path / "bin/vcgencmd"
    program.write_text('#!/bin/sh\n[ "$1" = pmic_read_adc ] && while read -r LINE; do echo "$LINE"; done < "${0%/*}/../said"\n')
    program.chmod(0o755)
    sensor = power.find(tmp_path)
    assert sensor.name == "vcgencmd pmic_read_adc"
    assert "not what USB devices take" in sensor.covers
    assert sensor.joules(1.0) == pytest.approx(0.01 * 3.7 + 0.2 * 3.3 + 1.5 * 0.8)
    (tmp_path / "said").write_text('error=1 error_msg="Command not registered"\n')
    with pytest.raises(LookupError, match=r"^no power sensor$"):
        power.find(tmp_path)


@settings(max_examples=30)
@given(st.integers(0, 2**20), st.lists(st.integers(0, 2**20), max_size=20))
def test_a_counter_that_begins_anew_loses_nothing(tmp_path_factory, start, steps):
    system, most = tmp_path_factory.mktemp("system"), 2**20
    folder = zone(system, 0, "package-0", start, most)
    zone(system, "0:0", "core", 0)
    sensor, total = power.find(system), start
    for step in steps:
        total += step
        (folder / "energy_uj").write_text(f"{total % (most + 1)}\n")
        assert sensor.joules(0.0) == pytest.approx(step / 1e6)
    shutil.rmtree(system)


def test_packages_are_added_and_what_they_leave_out_is_said(tmp_path):
    folders = [zone(tmp_path, number, f"package-{number}", 1000) for number in range(2)]
    sensor = power.find(tmp_path)
    for folder in folders:
        (folder / "energy_uj").write_text("3001000")
    assert sensor.joules(1.0) == pytest.approx(6)
    assert sensor.name == "RAPL package-0, package-1"
    assert "not memory" in sensor.covers


def test_a_counter_that_only_root_may_read_is_told_with_the_cure():
    """Not in pytest's folder, which nobody else may enter."""
    system = Path("/tmp") / f"edgepress-test-{os.getpid()}"  # noqa: S108  of this process alone
    root = os.geteuid() == 0
    try:
        counter = zone(system, 0, "package-0", 5) / "energy_uj"
        counter.chmod(0o400 if root else 0)
        if root:
            os.seteuid(65534)
        with pytest.raises(LookupError, match=f"root only; run: sudo chmod a\\+r {counter}"):
            power.find(system)
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(system)


def test_a_sensor_that_goes_away_is_told(tmp_path):
    folder = chip(tmp_path, 0, "ina226", power1_input=1_000_000)

    def infer():
        shutil.rmtree(folder, ignore_errors=True)

    reason = power.measure(infer, 0.3, tmp_path)["reason"]
    assert reason.startswith("ina226 of hwmon0, channel 1 went away: ")
    assert power.measure(infer, 0.1, tmp_path) == {"reason": "no power sensor"}


@pytest.mark.parametrize("there", [True, False])
def test_profile_shows_it_or_says_why_not(tmp_path, monkeypatch, there):
    monkeypatch.setattr(jobs, "SYSTEM", str(tmp_path))
    monkeypatch.setattr(jobs, "ENERGY_SECONDS", 0.2)
    if there:
        chip(tmp_path, 0, "ina219", power1_input=4_000_000)
    (row,) = profile_file(dense_tflite(tmp_path / "m.tflite"), ["host"], Silent(), devices=(), settings=(), save=None, **PROFILE)
    said = io.StringIO()
    terminal.show_rows([row], Console(file=said, width=120))
    if there:
        assert row.energy_source == "measured"
        assert row.energy_mj == pytest.approx(row.details["energy"]["millijoules"])
        assert "energy" in said.getvalue().splitlines()[0]
        assert "by ina219 of hwmon0, channel 1, what flows through its shunt; " in " ".join(said.getvalue().split())
        assert "4 W, of which 4 W were there before, idle" in " ".join(said.getvalue().split())
    else:
        assert (row.energy_mj, row.energy_source) == (None, None)
        assert row.notes[-1] == "energy: not measured: no power sensor"
