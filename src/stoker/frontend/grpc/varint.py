"""Reads and writes protobuf's lengths, for large values that protobuf would copy. PURE."""

from __future__ import annotations


def varint(number: int) -> bytes:
    if number <= 0x7F:
        return _SMALL[number]
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_SMALL = [bytes([number]) for number in range(0x80)]


def read_value(message: bytes | bytearray, position: int) -> tuple[int, int] | None:
    """Returns where the value begins and ends whose length is at ``position``. None: the message ends first."""
    found = read_varint(message, position)
    if found is None:
        return None
    size, start = found
    stop = start + size
    return (start, stop) if stop <= len(message) else None


def read_varint(message: bytes | bytearray, position: int, longest: int = 5) -> tuple[int, int] | None:
    """Returns the number at ``position`` and where it ends. None: it has more than ``longest`` bytes, or no end."""
    try:
        low = message[position]
        if low < 0x80:
            return low, position + 1
        high = message[position + 1]
        if high < 0x80:
            return low & 0x7F | high << 7, position + 2
    except IndexError:
        return None
    number = 0
    for count, byte in enumerate(message[position : position + longest]):
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number, position + count + 1
    return None
