"""Which frames count as a flood."""

from __future__ import annotations

from stoker.frontend.grpc.limits import FloodGuard, Limits

BURST, PER_SECOND = 100, 7


def spent() -> FloodGuard:
    guard = FloodGuard(0.0, Limits(control_frame_burst=BURST, control_frames_per_second=PER_SECOND))
    assert guard.allows(BURST, 0.0)
    return guard


def test_a_burst_passes_and_one_frame_more_does_not() -> None:
    assert not spent().allows(1, 0.0)


def test_time_brings_some_back_but_never_more_than_a_burst() -> None:
    assert spent().allows(PER_SECOND, 1.0)
    assert not spent().allows(PER_SECOND + 1, 1.0)
    assert not spent().allows(BURST + 1, 1e9)


def test_a_client_that_reads_may_say_so_often() -> None:
    guard = spent()
    guard.bytes_sent += 512 * 10
    assert guard.allows(10, 0.0)
    assert not guard.allows(1, 0.0)


def test_a_request_brings_the_frames_that_clients_send_around_one() -> None:
    """A window update, a PING and an empty DATA for each small call are never a flood, however many there are."""
    guard = spent()
    for _ in range(10 * BURST):
        guard.requests += 1
        assert guard.allows(4, 0.0)


def test_what_comes_with_requests_and_answers_in_one_read_may_exceed_the_burst_but_is_not_saved() -> None:
    guard = spent()
    guard.requests += 1000
    assert guard.allows(4000, 0.0)
    assert not guard.allows(BURST + 1, 0.0)
