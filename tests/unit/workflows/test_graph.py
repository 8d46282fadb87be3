from __future__ import annotations

import pytest

from stoker import errors
from stoker.workflows.graph import Graph, Node


def graph(names: str, *edges: str) -> Graph:
    """``graph("abc", "ab", "bc")``: three nodes in a row."""
    return Graph.build([Node(name=name) for name in names], [(edge[0], edge[1]) for edge in edges])


def test_a_diamond_knows_its_start_its_leaves_and_every_neighbour() -> None:
    diamond = graph("abcd", "ac", "ab", "bd", "cd")

    assert diamond.start == "a"
    assert diamond.leaves == ("d",)
    assert diamond.nodes["a"].successors == ("c", "b")
    assert diamond.nodes["d"].predecessors == ("b", "c")
    assert diamond.nodes["a"].predecessors == ()


def test_one_node_alone_is_start_and_leaf() -> None:
    alone = graph("a")

    assert (alone.start, alone.leaves) == ("a", ("a",))


def test_leaves_keep_the_order_of_the_nodes() -> None:
    assert graph("acb", "ab", "ac").leaves == ("c", "b")


@pytest.mark.parametrize(
    ("names", "edges", "text"),
    [
        ("", [], "DAG should have only one start node"),
        ("ab", [], "DAG should have only one start node"),
        ("abc", ["ac", "bc"], "DAG should have only one start node"),
        ("ab", ["ab", "ba"], "DAG should have only one start node"),
        ("ab", ["ab", "bb"], "Self loop exception"),
        ("a", ["aa"], "Self loop exception"),
        ("ab", ["ab", "ab"], "loop exception"),
        ("abc", ["ab", "bc", "cb"], "Not a valid DAG"),
        ("abcd", ["ab", "cd", "dc"], "Not a valid DAG"),
    ],
)
def test_what_is_no_graph_with_one_start_is_refused_in_torchserves_words(
    names: str, edges: list[str], text: str
) -> None:
    with pytest.raises(errors.InvalidGraph) as refused:
        graph(names, *edges)

    assert refused.value.message == text
