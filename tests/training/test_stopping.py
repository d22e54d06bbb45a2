"""SIGINT and SIGTERM are noted once, and everything is as before afterwards."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from chimeramix.training.stopping import StopRequest

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    """Known handlers, whatever the tests' own process was started with."""

    def handler(number: int, frame: object) -> None:
        raise KeyboardInterrupt(number)

    before = {number: signal.signal(number, handler) for number in SIGNALS}
    yield
    for number, previous in before.items():
        signal.signal(number, previous)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted_and_the_second_ends(number: signal.Signals) -> None:
    handlers = [signal.getsignal(each) for each in SIGNALS]
    with StopRequest() as stop:
        assert stop.signal_number is None
        os.kill(os.getpid(), number)
        assert stop.signal_number == number
        assert [signal.getsignal(each) for each in SIGNALS] == handlers
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_handlers_are_restored_after_an_error() -> None:
    handlers = [signal.getsignal(each) for each in SIGNALS]
    stop = StopRequest()
    with pytest.raises(ZeroDivisionError), stop:
        raise ZeroDivisionError
    assert [signal.getsignal(each) for each in SIGNALS] == handlers


def test_an_ignored_signal_stays_ignored() -> None:
    """A shell starts its background jobs with SIGINT ignored, so that Ctrl-C reaches the foreground only."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal_number is None
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal_number == signal.SIGTERM


def test_nothing_happens_outside_the_main_thread() -> None:
    handlers = [signal.getsignal(each) for each in SIGNALS]
    seen: list[object] = []

    def work() -> None:
        with StopRequest() as stop:
            seen.extend([stop.signal_number, *(signal.getsignal(each) for each in SIGNALS)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None, *handlers]


@pytest.fixture
def _in_a_job() -> Iterator[None]:
    """A process that handles SIGUSR2, as jobs of sweeps do."""
    before = signal.signal(signal.SIGUSR2, lambda number, frame: None)
    yield
    signal.signal(signal.SIGUSR2, before)


@pytest.mark.usefixtures("_in_a_job")
def test_in_a_job_the_warning_of_its_end_stops() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert stop.signal_number == signal.SIGUSR2


@pytest.mark.usefixtures("_in_a_job")
def test_in_a_job_sigterm_saves_and_goes_on() -> None:
    """A job that ended by itself would not be put back into the queue."""
    with StopRequest() as stop:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.save
            assert stop.signal_number is None
            stop.save = False


def test_outside_a_job_sigusr2_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGUSR2)
    with StopRequest():
        assert signal.getsignal(signal.SIGUSR2) == before
