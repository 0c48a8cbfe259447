"""Who drives, in time that the test makes."""

from types import SimpleNamespace

import pytest

from gym_grasp.teleop.web.seat import ANSWER, SILENT, Seat


class Guest(SimpleNamespace):
    """A client that only listens."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name=name, role="", note="")

    def say(self, type: str, role: str, epoch: int, note: str) -> None:
        self.role, self.note = role, note

    __hash__ = object.__hash__


@pytest.fixture
def stops() -> list[int]:
    return []


@pytest.fixture
def seat(stops: list[int]) -> Seat:
    return Seat(lambda: stops.append(1))


def test_one_who_does_not_answer_keeps_the_robot_only_while_it_moves(seat: Seat) -> None:
    driver, other = Guest("a"), Guest("b")
    seat.enter(driver, 0.0)
    seat.enter(other, 0.0)
    assert (driver.role, other.role) == ("drive", "watch")
    seat.ask(other, 1.0)
    seat.tick(True, 2.0)
    seat.tick(False, 1.0 + ANSWER)
    assert other.note == "The operator goes on driving."
    seat.ask(other, 20.0)
    seat.tick(False, 20.1)
    assert seat.driver is driver
    seat.tick(False, 20.0 + ANSWER)
    assert (seat.driver, driver.role, other.role) == (other, "watch", "drive")


def test_an_answer_is_the_drivers_alone_and_stops_the_robot(seat: Seat, stops: list[int]) -> None:
    driver, other, third = Guest(), Guest(), Guest()
    for guest in (driver, other, third):
        seat.enter(guest, 0.0)
    seat.ask(other, 1.0)
    seat.ask(third, 1.0)
    assert third.note == "Another visitor has asked already."
    seat.answer(third, True)
    seat.answer(other, True)
    assert seat.driver is driver
    seat.answer(driver, False)
    assert (seat.driver, seat.asking) == (driver, None)
    seat.ask(third, 2.0)
    epoch, before = seat.epoch, len(stops)
    seat.answer(driver, True)
    assert (seat.driver, seat.epoch, len(stops)) == (third, epoch + 1, before + 1)


def test_the_place_of_a_connection_that_died_is_kept_for_its_operator(seat: Seat) -> None:
    driver, other, back = Guest("a"), Guest("b"), Guest("a")
    seat.enter(driver, 0.0)
    seat.leave(driver, SILENT, 10.0)
    assert seat.state(10.1) == "kept"
    seat.enter(other, 11.0)
    seat.ask(other, 12.0)
    seat.tick(False, 12.1)
    assert seat.driver is None
    seat.enter(back, 13.0)
    assert (seat.driver, back.role, other.role) == (back, "drive", "watch")
    seat.leave(back, SILENT, 20.0)
    seat.tick(False, 20.0 + SILENT)  # nobody came back: whoever asked has it
    assert seat.driver is other


def test_who_returns_before_the_host_has_noticed_is_not_a_second_visitor(seat: Seat) -> None:
    driver, back, nameless = Guest("a"), Guest("a"), Guest()
    seat.enter(driver, 0.0)
    seat.enter(nameless, 0.0)
    seat.enter(back, 1.0)
    assert (seat.driver, driver.role) == (back, "watch")
    seat.leave(driver, SILENT, 5.0)  # the dead connection takes nothing with it
    assert seat.driver is back


def test_goodbye_frees_the_place_at_once(seat: Seat) -> None:
    driver, other = Guest("a"), Guest("b")
    seat.enter(driver, 0.0)
    seat.enter(other, 0.0)
    seat.ask(other, 0.5)
    seat.leave(driver, 0.0, 1.0)
    assert seat.driver is other
    seat.leave(other, 0.0, 2.0)
    assert seat.state(2.0) == "nobody"
