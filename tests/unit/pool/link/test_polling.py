"""When an end looks at its socket for what comes next, before it sleeps."""

from __future__ import annotations

from link_kit import Peer, Play, Recorder, batch

from stoker.core.turn import current_turn
from stoker.ipc import codec
from stoker.ipc.to_server import Results
from stoker.ipc.to_worker import Predict
from stoker.pool.link import Link


async def answered_on_the_spot(link: Link, recorder: Recorder, peer: Peer, *numbers: int) -> bool:
    """Whether answers that are there when the batches leave are read before the loop looks at the socket."""
    before = len(recorder.events)

    def callback() -> None:
        for number in numbers:
            link.send(batch(number, b"x"))
            peer.sock.sendall(b"".join(codec.encode(Results(number, [1]), [b"y"])))

    current_turn().run(callback)
    found = len(recorder.events) > before
    await recorder.until(before + len(numbers))
    return found


def test_the_answer_of_a_lone_batch_is_looked_for_once_answers_come_in_a_moment(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        assert [await answered_on_the_spot(link, recorder, peer, number) for number in (1, 2, 3)] == [False, True, True]
        assert not await answered_on_the_spot(link, recorder, peer, 4, 5)
        assert await answered_on_the_spot(link, recorder, peer, 6)
        recorder.busy.record("another worker", at_work=True)
        assert not await answered_on_the_spot(link, recorder, peer, 7)

    play(scenario)


def test_a_worker_may_look_for_its_next_batch_while_the_busy_ones_leave_a_core(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"x"))
        link.send(batch(2, b"x"))
        recorder.busy.record("another worker", at_work=True)
        link.send(batch(3, b"x"))
        heard = await peer.hear(3)
        assert [message.may_poll for message, _ in heard if isinstance(message, Predict)] == [True, True, False]
        for number in (1, 2):
            await peer.say(Results(number, [0]))
        await recorder.until(2)
        assert not recorder.busy.leave_a_core
        await peer.say(Results(3, [0]))
        await recorder.until(3)
        assert recorder.busy.leave_a_core

    play(scenario)


def test_a_worker_on_another_machine_looks_for_its_next_batch_and_takes_no_core_here(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        for other in ("one", "another"):
            recorder.busy.record(other, at_work=True)
        link.send(batch(1, b"x"))
        ((message, _),) = await peer.hear(1)
        assert isinstance(message, Predict) and message.may_poll
        recorder.busy.record("one", at_work=False)
        assert recorder.busy.leave_a_core
        assert not recorder.busy.only_one
        link.close()
        assert recorder.busy.only_one

    play(scenario, shares_cores=False)


def test_a_worker_that_is_gone_is_busy_no_more(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        recorder.busy.record("another worker", at_work=True)
        link.send(batch(1, b"x"))
        assert not recorder.busy.leave_a_core
        link.close()
        assert recorder.busy.leave_a_core

    play(scenario)
