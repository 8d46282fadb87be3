"""Answers of a worker on their way to the server."""

from __future__ import annotations

import pytest
from tensor_kit import arrived

from stoker.core.tensors import Form, Tensor, TensorHead, TensorJob
from stoker.tensors import jobs, replies
from stoker.tensors.replies import Answer

TENSORS = [
    Tensor("a", "FP32", [2], b"abcdefgh"),
    Tensor("é", "BYTES", [], b"\x01\0\0\0x", {"p": True, "q": 1.5}),
    Tensor("c", "INT8", [0], b""),
]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(TENSORS),
        Answer(TENSORS[:1]),
        Answer(TENSORS[2:]),
        Answer([]),
        Answer(TENSORS[:1], "id", "model", "1", {"n": 2}),
    ],
)
def test_an_answer_arrives_as_it_was_sent(answer: Answer) -> None:
    for _ in range(2):  # the second time, heads are known
        for sent in (replies.encode(answer), memoryview(replies.encode(answer))):
            head, outputs = arrived(sent)
            assert Answer(outputs, head.id, head.model_name, head.model_version, head.parameters or {}) == answer


def test_the_short_way_for_texts_writes_the_same() -> None:
    text = b"some \0 text"
    long = replies.encode(Answer([Tensor("out", "BYTES", [1], len(text).to_bytes(4, "little") + text)]))
    assert replies.encode_text(replies.text_head("out", (1,)), text) == long


def test_answers_that_differ_in_data_alone_have_one_head() -> None:
    one, other, longer = (
        replies.split(replies.encode(Answer([Tensor("a", "INT8", [len(data)], data)])))[0]
        for data in (b"x", b"y", b"yz")
    )
    assert one == other != longer


def test_bytes_that_are_no_answer_are_refused_wherever_they_were_cut() -> None:
    """The last output's data may be of any length: an answer comes whole, or not at all."""
    whole = replies.encode(Answer([*TENSORS, TENSORS[0]]))
    for length in range(len(whole) - len(TENSORS[0].data)):
        with pytest.raises(ValueError, match=r"."):
            arrived(whole[:length])
    with pytest.raises(ValueError, match="length"):
        arrived(replies.encode(Answer([])) + b"x")


def test_a_job_arrives_as_it_was_sent() -> None:
    job = TensorJob(
        Form.ROW, "id", [TensorHead("INT8", [1], {"p": 1}, True)], {"q": "x"}, [("out", {"r": False})], ["n"]
    )
    assert jobs.decode(jobs.encode(job)) == job
