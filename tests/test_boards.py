"""Boards are data: each loads, names a kind that exists, and says where every figure is published."""

import dataclasses

import pytest
import yaml

from targets import boards
from targets.boards import FOLDER, Board
from targets.errors import UserError
from targets.microcontroller import cores

FIGURES = ("core", "clock_hz", "flash_bytes", "ram_bytes", "power_w")
MICROCONTROLLERS = [name for name in boards.names() if boards.load(name).target == "microcontroller"]
ISSUE = {
    *("nano-33-ble", "portenta-h7", "nicla-vision", "raspberry-pi-pico", "raspberry-pi-pico-2", "stm32f4-discovery"),
    *("stm32f746g-discovery", "nucleo-l4r5zi", "nucleo-u575zi-q", "nucleo-h743zi2", "nucleo-h7a3zi-q", "nucleo-g0b1re"),
    *("nrf52840-dk", "nrf5340-dk", "esp32-c3-devkitm-1", "corstone-300"),
}


def sourced(board: Board) -> set[str]:
    """The figures that a board's sources are about; one line may speak for several."""
    return {figure.strip() for key in board.sources for figure in key.split(",")}


@pytest.mark.parametrize("name", boards.names())
def test_every_board_is_named_after_its_file_and_has_a_source_for_every_figure(name):
    board = boards.load(name)
    assert board.name == name
    figures = {key for key in FIGURES if getattr(board, key) is not None} | set(board.model)
    assert figures <= sourced(board)
    assert all(board.sources.values())


@pytest.mark.parametrize("name", boards.names())
def test_every_board_names_a_kind_that_runs_files(name):
    assert boards.target(name).formats


@pytest.mark.parametrize("name", MICROCONTROLLERS)
def test_every_microcontroller_can_be_emulated_and_estimated(name):
    board = boards.load(name)
    assert board.core in cores.names()
    assert None not in (board.clock_hz, board.flash_bytes, board.ram_bytes)
    missing = boards.target(name).available()
    assert missing is None or (cores.load(board.core).emulator == "qemu" and "apt-get install" in missing.cure)


def test_the_boards_that_were_asked_for_are_there():
    assert set(MICROCONTROLLERS) >= ISSUE


@pytest.mark.parametrize("name", cores.names())
def test_every_core_says_where_its_timings_are_published(name):
    core = cores.load(name)
    assert core.name == name
    assert core.sources["cycles"]
    assert core.caveat


def test_an_unknown_core_is_refused_with_the_nearest_right_one():
    with pytest.raises(UserError, match="'cortex-m5'; did you mean 'cortex-m"):
        cores.load("cortex-m5")


def own_board(folder, **changes):
    data = yaml.safe_load((FOLDER / "nucleo-l4r5zi.yaml").read_text(encoding="utf-8")) | {"name": "my-board"} | changes
    path = folder / "my-board.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return str(path)


def test_a_user_adds_a_board_by_a_file_of_their_own(tmp_path):
    target = boards.target(own_board(tmp_path, clock_hz=8_000_000))
    assert target.board == dataclasses.replace(boards.load("nucleo-l4r5zi"), name="my-board", clock_hz=8_000_000)
    assert target.available() is None


def test_a_board_of_a_core_that_cannot_be_emulated_says_which_can(tmp_path):
    problem = boards.target(own_board(tmp_path, core="cortex-m85")).available()
    assert problem is not None
    assert "cortex-m85" in problem.reason
    assert "cortex-m4" in problem.cure


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clok_hz": 1}, "unknown key 'clok_hz'; did you mean 'clock_hz'"),
        ({"ram_bytes": -1}, "'ram_bytes' must be a whole number above 0"),
        ({"flash_bytes": "1 MB"}, "'flash_bytes' must be a whole number above 0"),
    ],
)
def test_a_board_file_with_a_mistake_is_refused_with_its_key(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        boards.load(own_board(tmp_path, **changes))
