"""Defines sequences: requests that share state in one worker.  PURE.

A request names its sequence in a field of its message, in an input, or in a header or metadata entry; the first counts.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import structs

from stoker.core.buffer import Buffer
from stoker.core.job import Input, Job
from stoker.core.reply import Chunk, ReplyStream, ResponseMeta
from stoker.errors import BadRequest

OPENED = "ts_request_sequence_opened"
"""Header of the first request of a sequence that reaches a worker, whoever chose the id."""
TRUE = "true"
MAX_ID_BYTES = 256

_ID = re.compile(rf"[ -:<-~]{{1,{MAX_ID_BYTES}}}")
_LONGEST_FLAG = 16


class SequenceNames(NamedTuple):
    """Names of the headers, metadata entries and inputs that say which sequence a request belongs to."""

    id: str = "ts_request_sequence_id"
    start: str = "ts_request_sequence_start"
    end: str = "ts_request_sequence_end"


class SequenceLimits(NamedTuple):
    """Limits of a model's sequences. Times are seconds.

    ``max_idle_s``: from a sequence's last answer until it is closed. ``max_life_s``: from its first request; applied
    only while the sequence is idle; 0: unlimited. ``most``: sequences at a time. ``waiting``: requests of one sequence
    that may wait besides the one that runs. ``refuse_unknown``: an unknown id is refused without the start flag.
    """

    max_idle_s: float
    max_life_s: float = 0.0
    most: int = 1
    waiting: int = 1
    refuse_unknown: bool = False
    names: SequenceNames = SequenceNames()


class Membership(NamedTuple):
    """Membership of a request in a sequence. ``id``: empty: the request names none."""

    id: str = ""
    starts: bool = False
    ends: bool = False


def membership(
    names: SequenceNames, inputs: Sequence[Input], headers: Mapping[str, str] | None, field: str = ""
) -> Membership:
    """Reads which sequence a request names. ``field``: the id from the field of its message. Raises BadRequest."""
    headers = headers or {}
    given = {item.name: item.value for item in inputs if item.name in names}
    found = {name: _text(given[name]) if name in given else value_in_any_case(headers, name) or "" for name in names}
    id = field or found[names.id]
    if id and _ID.fullmatch(id) is None:
        raise BadRequest(f"The id of a sequence is 1 to {MAX_ID_BYTES} printable ASCII characters without semicolons.")
    return Membership(id, _flag(found[names.start]), _flag(found[names.end]))


def _text(data: Buffer) -> str:
    """Decodes an id or a flag; of one that is too long, only enough for it to be refused."""
    return bytes(data[: MAX_ID_BYTES + 1]).decode("utf-8", "replace")


def _flag(text: str) -> bool:
    return text[:_LONGEST_FLAG].strip().lower() in ("true", "1")


class SequenceJob(Job, kw_only=True):
    """A request of a sequence. It shares its headers with no other request."""

    member: Membership


class SequenceReply(ReplyStream, kw_only=True):
    """A reply whose parts name their sequence in ``header``, unless the handler has set that."""

    sequence_id: str
    header: str

    def push(self, chunk: Chunk, *, last: bool) -> None:
        super().push(self._named(chunk), last=last)

    def push_parts(self, chunks: Sequence[Chunk], nbytes: int) -> None:
        super().push_parts([self._named(chunk) for chunk in chunks], nbytes)

    def _named(self, chunk: Chunk) -> Chunk:
        meta = chunk.meta
        if meta is None:
            return Chunk(chunk.data, ResponseMeta(headers={self.header: self.sequence_id}))
        if value_in_any_case(meta.headers, self.header) is not None:
            return chunk
        return Chunk(chunk.data, meta._replace(headers={**meta.headers, self.header: self.sequence_id}))


def new_sequence_id() -> str:
    return f"ts-seq-{uuid.uuid4()}"


def value_in_any_case(headers: Mapping[str, str], wanted: str) -> str | None:
    """Returns the value of the first header with this name, in any case."""
    found = headers.get(wanted)
    if found is not None:
        return found
    wanted = wanted.lower()
    return next((value for name, value in headers.items() if name.lower() == wanted), None)


def in_sequence(job: Job, limits: SequenceLimits, member: Membership, generated_id: str) -> SequenceJob:
    """Makes ``job`` a request of the sequence that it names, or of a new one with ``generated_id``."""
    names = limits.names
    if not member.id:
        member = Membership(generated_id, True, member.ends)
    ours = {name.lower() for name in (*names, OPENED)}
    headers = {name: value for name, value in job.headers.items() if name.lower() not in ours}
    headers[names.id] = member.id
    if member.starts:
        headers[names.start] = TRUE
    if member.ends:
        headers[names.end] = TRUE
    own = {"headers": headers, "reply": SequenceReply(sequence_id=member.id, header=names.id)}
    return SequenceJob(**{**structs.asdict(job), **own}, member=member)
