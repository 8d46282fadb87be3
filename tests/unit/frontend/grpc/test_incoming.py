"""How a call's messages are received: reserved, decompressed, delivered in order, and counted while they wait."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from stoker.errors import MessageTooLarge, TooManyIncomplete
from stoker.frontend.budget import RequestBudget, Share
from stoker.frontend.compression import BadCompression
from stoker.frontend.grpc.incoming import IncomingMessages
from stoker.frontend.grpc.messages import BadFraming, TooManyMessages

KIB, MIB = 1 << 10, 1 << 20
LIMIT = 2 * MIB


class Connection:
    """Records the flow-control window that a client gets."""

    max_message_bytes = LIMIT

    def __init__(self, budget: RequestBudget) -> None:
        self.budget = budget
        self.own = budget.of_connection()
        self.now = 0.0
        self.returned = 0
        self.windows: list[int] = []

    def share(self) -> Share:
        return Share(self.budget, self.own)

    def return_window(self, id: int, nbytes: int) -> None:
        self.returned += nbytes

    def set_window(self, id: int, nbytes: int) -> int:
        self.windows.append(nbytes)
        return nbytes

    def plan_flush(self) -> None: ...


class Call:
    """Takes messages while it is ``reading``, and ends when it is refused."""

    id = 1
    one_request = False
    encoding = "gzip"

    def __init__(self, budget: RequestBudget | None = None, *, connection: Connection | None = None) -> None:
        self.budget = budget or RequestBudget(64 * MIB)
        self.connection = connection or Connection(self.budget)
        self.ended = False
        self.reading = True
        self.pause_after = 0
        self.takes = True
        self.fails = False
        self.messages: list[bytes] = []
        self.refused: BaseException | None = None
        self.changed = asyncio.Event()
        self.incoming = IncomingMessages(self)

    @property
    def takes_messages(self) -> bool:
        return self.reading and self.takes and not self.ended

    def deliver(self, message: bytes | bytearray) -> None:
        if self.fails:
            raise RuntimeError
        self.messages.append(bytes(message))
        self.changed.set()
        if len(self.messages) == self.pause_after:
            self.reading = False

    def delivered_all(self) -> None: ...

    def refuse_for(self, error: BaseException) -> None:
        self.refused = error
        self.end()

    def end(self) -> None:
        self.ended = True
        self.incoming.release()
        self.changed.set()

    def receive(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.incoming.receive(piece)

    def resume(self) -> None:
        self.reading = True
        self.incoming.read_on()

    async def until(self, count: int) -> None:
        while len(self.messages) < count and self.refused is None:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 20)


def framed(data: bytes, *, length: int | None = None, packed: bool = False) -> bytes:
    return bytes([packed]) + (len(data) if length is None else length).to_bytes(4, "big") + data


def noise(size: int) -> bytes:
    """Data that compresses badly."""
    return b"".join(hash((size, number)).to_bytes(8, "big", signed=True) for number in range(-(-size // 8)))[:size]


def test_messages_are_delivered_at_once_and_their_window_returned() -> None:
    call = Call()
    body = framed(b"one") + framed(b"") + framed(b"three")
    call.receive(*(body[at : at + 1] for at in range(len(body))))
    assert call.messages == [b"one", b"", b"three"]
    assert (call.connection.returned, call.budget.taken) == (len(body), 0)


@pytest.mark.parametrize(
    ("piece", "error"), [(framed(b"", length=LIMIT + 1), MessageTooLarge), (b"\x07" + bytes(4), BadFraming)]
)
def test_what_cannot_be_a_message_is_refused_and_its_window_returned(piece: bytes, error: type[Exception]) -> None:
    call = Call()
    call.receive(piece)
    assert isinstance(call.refused, error)
    assert call.connection.returned == len(piece)


def test_a_large_message_gets_its_window_once_its_size_is_reserved_and_later_a_small_one_again() -> None:
    call = Call()
    call.receive(framed(bytes(KIB), length=MIB))
    assert call.connection.windows == [MIB]
    assert call.budget.taken > MIB
    call.receive(bytes(MIB - KIB))
    assert call.connection.windows == [MIB, 64 * KIB]
    assert (len(call.messages), call.budget.taken) == (1, 0)


def test_a_large_message_without_room_gets_no_window_until_another_has_left() -> None:
    connection = Connection(RequestBudget(8 * MIB))
    first, second = Call(connection.budget, connection=connection), Call(connection.budget, connection=connection)
    for call in (first, second):
        call.receive(framed(bytes(KIB), length=LIMIT - KIB))
    assert (connection.windows, connection.returned) == ([LIMIT - KIB], KIB + 5)
    assert second.incoming.waits_for_room
    first.end()
    assert (connection.windows, connection.returned) == ([LIMIT - KIB] * 2, 2 * (KIB + 5))
    second.end()
    assert connection.budget.taken == 0


def test_a_message_that_came_whole_while_it_waited_for_room_waits_no_more() -> None:
    budget = RequestBudget(MIB)
    call, other = Call(budget), Share(budget)
    other.hold(MIB * 3 // 4)
    call.reading = False
    call.receive(framed(bytes(KIB), length=70_000))
    assert call.incoming.waits_for_room
    call.receive(bytes(70_000 - KIB))
    other.give_back()
    assert (call.connection.windows, budget.taken) == ([64 * KIB], 64 * KIB)
    call.resume()
    assert (len(call.messages), budget.taken) == (1, 0)


def test_a_message_that_waits_counts_what_an_earlier_one_left_of_its_window() -> None:
    budget = RequestBudget(8 * MIB)
    call, other = Call(budget), Share(budget)
    call.receive(framed(bytes(MIB)[:-100], length=MIB), bytes(100))
    other.hold(6 * MIB)
    call.receive(framed(b"small"), framed(bytes(1000), length=MIB))
    assert call.incoming.waits_for_room
    assert budget.unreserved.taken == MIB - len(framed(b"small")) - len(framed(bytes(1000)))
    call.end()
    assert budget.unreserved.taken == 0


def test_a_second_message_of_a_call_that_takes_one_is_refused_by_its_length() -> None:
    call = Call()
    call.one_request, call.reading = True, True
    call.takes = False  # its end is missing
    call.receive(framed(b"first"), framed(b"", length=MIB))
    assert isinstance(call.refused, TooManyMessages)
    assert (call.budget.taken, call.connection.returned) == (0, 15)


def test_frames_without_data_do_not_make_a_request_last() -> None:
    call = Call()
    call.receive(framed(b"a", length=100))
    call.connection.now = 5.0
    call.receive(b"")
    assert (call.incoming.begun_at, call.incoming.received_at) == (0.0, 0.0)
    call.receive(b"a")
    assert (call.incoming.begun_at, call.incoming.received_at) == (0.0, 5.0)


def test_a_message_whose_call_fails_counts_no_more() -> None:
    call = Call()
    call.fails = True
    call.receive(framed(b"a", length=100))
    with pytest.raises(RuntimeError):
        call.receive(bytes(99))
    assert call.budget.taken == 0


def test_messages_that_come_while_the_call_is_paused_count_and_keep_their_window() -> None:
    call = Call()
    call.reading = False
    call.receive(framed(b"a" * 100), framed(b"b" * 200), framed(b"c", length=300))
    assert (call.messages, call.connection.returned, call.budget.taken) == ([], 0, 600)
    call.resume()
    assert ([len(message) for message in call.messages], call.budget.taken) == ([100, 200], 300)
    assert call.connection.returned == 105 + 205 + 6
    call.receive(b"c" * 299)
    assert (len(call.messages), call.budget.taken) == (3, 0)


def test_a_call_that_pauses_at_a_message_leaves_those_behind_it_counted() -> None:
    call = Call()
    call.pause_after = 1
    call.receive(framed(b"a" * 100) + framed(b"b" * 200) + framed(b"c" * 300))
    assert (len(call.messages), call.budget.taken, call.connection.returned) == (1, 500, 0)
    call.resume()
    assert (len(call.messages), call.budget.taken) == (3, 0)


def test_a_large_message_keeps_its_share_while_the_call_is_paused() -> None:
    call = Call()
    call.receive(framed(b"", length=MIB))
    call.reading = False
    call.receive(bytes(MIB))
    assert call.budget.taken > MIB
    call.end()
    assert (call.budget.taken, call.connection.returned) == (0, MIB + 5)


def test_a_paused_call_that_finds_no_room_for_its_messages_is_refused() -> None:
    budget = RequestBudget(400)
    call, other = Call(budget), Share(budget)
    other.hold(300)
    call.reading = False
    call.receive(framed(b"a" * 90))
    call.receive(framed(b"b" * 90))
    assert isinstance(call.refused, TooManyIncomplete)
    assert (budget.taken, call.connection.returned) == (300, 190)


def test_a_pause_is_not_held_against_the_client() -> None:
    call = Call()
    call.receive(framed(b"a", length=100))
    call.reading = False
    call.resume()
    assert call.incoming.received_at > 0.0


async def test_compressed_messages_are_delivered_in_order_with_plain_ones() -> None:
    call, large = Call(), noise(20_000)
    body = framed(gzip.compress(large), packed=True) + framed(b"plain") + framed(gzip.compress(b"small"), packed=True)
    call.receive(body)
    assert call.messages == []
    assert call.budget.taken > 20_000
    assert call.connection.returned == 0, "the client gets no window while a message waits"
    await call.until(3)
    assert call.messages == [large, b"plain", b"small"]
    assert (call.budget.taken, call.connection.returned) == (0, len(body))


async def test_a_message_decompressed_during_a_pause_waits_and_counts_with_its_own_size() -> None:
    call = Call()
    packed = gzip.compress(noise(8_000) + bytes(100_000))
    call.receive(framed(packed, packed=True))
    call.reading = False
    while call.budget.taken == len(packed):
        await asyncio.sleep(0)
    assert (call.messages, call.budget.taken) == ([], 108_000)
    call.resume()
    assert (len(call.messages[0]), call.budget.taken) == (108_000, 0)


@pytest.mark.parametrize(
    ("packed", "error"),
    [
        (noise(10_000), BadCompression),
        (b"x", BadCompression),
        (gzip.compress(bytes(LIMIT + 1)), MessageTooLarge),
        (gzip.compress(noise(8_000) + bytes(LIMIT)), MessageTooLarge),
    ],
)
async def test_what_cannot_be_decompressed_is_refused(packed: bytes, error: type[Exception]) -> None:
    call = Call()
    call.receive(framed(packed, packed=True))
    await call.until(1)
    assert isinstance(call.refused, error)
    assert (call.budget.taken, call.connection.returned) == (0, len(packed) + 5)


async def test_a_small_message_that_decompresses_to_much_does_not_hold_up_the_loop() -> None:
    call = Call()
    call.receive(framed(gzip.compress(bytes(MIB)), packed=True))
    assert call.messages == []
    await call.until(1)
    assert call.messages == [bytes(MIB)]


async def test_a_call_that_ends_while_its_message_is_decompressed_gets_nothing_more() -> None:
    call, next_one, errors = Call(), Call(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    packed = zlib.compress(noise(100_000), wbits=31)
    call.receive(framed(packed, packed=True))
    call.end()
    next_one.receive(framed(packed, packed=True))
    await next_one.until(1)
    assert (call.messages, call.refused, call.budget.taken, errors) == ([], None, 0, [])
