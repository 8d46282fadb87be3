"""Answers of a worker on their way to the server."""

from __future__ import annotations

import pytest

from stoker.core.tensors import Form, Tensor, TensorHead, TensorJob
from stoker.tensors import jobs, replies
from stoker.tensors.replies import Answer

TENSORS = [
    Tensor("a", "FP32", [2], b"abcdefgh"),
    Tensor("é", "BYTES", [], b"\x01\0\0\0x", {"p": True, "q": 1.5}),
    Tensor("c", "INT8", [0], b""),
]


def plain(answer: Answer) -> Answer:
    outputs = [tensor._replace(data=bytes(tensor.data), shape=list(tensor.shape)) for tensor in answer.outputs]
    return answer._replace(outputs=outputs, head=b"")


@pytest.mark.parametrize(
    "answer",
    [Answer(TENSORS), Answer(TENSORS[:1]), Answer([]), Answer(TENSORS[:1], "id", "model", "1", {"n": 2})],
)
def test_an_answer_arrives_as_it_was_sent(answer: Answer) -> None:
    for _ in range(2):  # the second time, heads are known
        assert plain(replies.decode(replies.encode(answer))) == plain(answer)
        assert plain(replies.decode(memoryview(replies.encode(answer)))) == plain(answer)


def test_a_row_of_a_batch_of_one_has_the_batch_dimension() -> None:
    answer = replies.decode(replies.encode(Answer(TENSORS[:2])), batched=True)
    assert [tensor.shape for tensor in answer.outputs] == [[1, 2], [1]]
    assert [tensor.shape for tensor in replies.decode(replies.encode(Answer(TENSORS[:2]))).outputs] == [[2], []]


def test_the_short_way_for_texts_writes_the_same() -> None:
    text = b"some \0 text"
    long = replies.encode(Answer([Tensor("out", "BYTES", [1], len(text).to_bytes(4, "little") + text)]))
    assert replies.encode_text(replies.text_head("out", (1,)), text) == long


def test_answers_of_the_same_head_say_so_and_others_do_not() -> None:
    one = replies.decode(replies.encode(Answer([Tensor("a", "INT8", [1], b"x")])))
    other = replies.decode(replies.encode(Answer([Tensor("a", "INT8", [1], b"y")])))
    longer = replies.decode(replies.encode(Answer([Tensor("a", "INT8", [2], b"yz")])))
    assert one.head == other.head != longer.head


def test_bytes_that_are_no_answer_are_refused_wherever_they_were_cut() -> None:
    whole = replies.encode(Answer(TENSORS))
    for length in range(len(whole)):
        with pytest.raises(ValueError, match=r"."):
            replies.decode(whole[:length])
    with pytest.raises(ValueError, match="length"):
        replies.decode(whole + b"x")


def test_a_job_arrives_as_it_was_sent() -> None:
    job = TensorJob(
        Form.ROW, "id", [TensorHead("INT8", [1], {"p": 1}, True)], {"q": "x"}, [("out", {"r": False})], ["n"]
    )
    assert jobs.decode(jobs.encode(job)) == job
