"""Frames come out of the byte stream as they went in, however the stream is cut, and lengths are never believed."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from stoker.ipc import frames

SMALL = [(b"", b""), (b"h", b""), (b"", b"p"), (b"header", b"payload"), (b"\x00" * 300, b"\xff" * 5000)]
LARGE = [(b"header", b"x" * (200 << 10)), (b"h" * (70 << 10), b"")]


def wire(*contents: tuple[bytes, bytes]) -> bytes:
    return b"".join(frames.PREFIX.pack(len(header), len(payload)) + header + payload for header, payload in contents)


def plain(found: list[frames.Frame]) -> list[tuple[bytes, bytes]]:
    return [(bytes(frame.header), bytes(frame.payload)) for frame in found]


def read_directly(decoder: frames.Decoder, data: bytes) -> list[frames.Frame]:
    """As a socket reader does it: into the decoder's own buffer whenever it offers one."""
    found: list[frames.Frame] = []
    offset = 0
    while offset < len(data):
        window = decoder.writable()
        if window is None:
            chunk = data[offset : offset + 4096]
            found += decoder.feed(chunk)
            offset += len(chunk)
        else:
            count = min(len(window), 10_000, len(data) - offset)
            window[:count] = data[offset : offset + count]
            frame = decoder.wrote(count)
            found += [frame] if frame is not None else []
            offset += count
    return found


def test_frames_fed_one_byte_at_a_time_come_out_whole_and_in_order() -> None:
    decoder = frames.Decoder()
    found = [frame for byte in wire(*SMALL) for frame in decoder.feed(bytes([byte]))]
    assert plain(found) == SMALL


@pytest.mark.parametrize("cut", range(len(wire(*SMALL[:4])) + 1))
def test_a_stream_cut_at_any_offset_yields_the_same_frames(cut: int) -> None:
    data, decoder = wire(*SMALL[:4]), frames.Decoder()
    found = [*decoder.feed(data[:cut]), *decoder.feed(data[cut:])]
    assert plain(found) == SMALL[:4]


def test_large_frames_cut_at_random_offsets_yield_the_same_frames() -> None:
    contents = [*SMALL, *LARGE, *SMALL, *LARGE]
    data = wire(*contents)
    for seed in range(200):
        cuts = sorted(random.Random(seed).sample(range(len(data)), 7))
        decoder, found = frames.Decoder(), []
        for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
            found += decoder.feed(data[start:stop])
        assert plain(found) == contents, f"seed {seed}"


def test_a_large_frame_is_read_into_its_own_buffer_and_its_neighbours_are_kept() -> None:
    contents = [SMALL[3], LARGE[0], SMALL[4], LARGE[1], SMALL[1]]
    assert plain(read_directly(frames.Decoder(), wire(*contents))) == contents


def test_a_large_frame_that_ends_exactly_with_a_chunk_is_whole_at_once() -> None:
    data, decoder = wire(LARGE[0]), frames.Decoder()
    head, tail = data[:100], data[100:]
    assert decoder.feed(head) == []
    assert plain(decoder.feed(tail)) == [LARGE[0]]
    assert decoder.writable() is None


def test_several_large_frames_in_one_chunk_all_come_out() -> None:
    contents = [LARGE[0], LARGE[0], SMALL[3]]
    assert plain(frames.Decoder().feed(wire(*contents))) == contents


@pytest.mark.parametrize(
    "lengths", [(0, 1001), (1 << 31, 0), (0xFFFFFFFF, 0xFFFFFFFF), (frames.MAX_HEADER_BYTES + 1, 0)]
)
def test_a_length_over_the_limit_is_refused_before_anything_is_allocated(lengths: tuple[int, int]) -> None:
    decoder = frames.Decoder(max_payload_bytes=1000)
    tracemalloc.start()
    try:
        with pytest.raises(frames.FrameError):
            decoder.feed(frames.PREFIX.pack(*lengths))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_payload_of_exactly_the_limit_is_accepted() -> None:
    content = (b"h", b"x" * 1000)
    assert plain(frames.Decoder(max_payload_bytes=1000).feed(wire(content))) == [content]


def test_frames_before_a_refused_length_are_still_delivered() -> None:
    decoder = frames.Decoder(max_payload_bytes=1000)
    assert plain(decoder.feed(wire(SMALL[3]) + frames.PREFIX.pack(0, 1001))) == [SMALL[3]]
    assert decoder.error is not None
    with pytest.raises(frames.FrameError):
        decoder.feed(b"")
