from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.errors import InvalidGraph, InvalidWorkflow
from stoker.workflows.graph import Serving
from stoker.workflows.specification import MAX_NODES, Specification, parse

DOG_BREED = b"""
models:
    min-workers: 1
    max-workers: 1
    batch-size: 4
    max-batch-delay: 100
    retry-attempts: 5
    timeout-ms: 300000
    cat_dog_classification:
      url: cat_dog_classification.mar
    dog_breed_classification:
      url: dog_breed_classification.mar
      batch-size: 2
      max-workers: 3
dag:
  pre_processing: [cat_dog_classification, dog_breed_classification]
  cat_dog_classification: [dog_breed_classification]
"""


def read(text: bytes | str | dict[str, Any], *, has_handler: bool = True) -> Specification:
    if isinstance(text, dict):
        text = yaml.safe_dump(text, sort_keys=False)
    content = text if isinstance(text, bytes) else text.encode()
    return parse(content, name="workflow.yaml", has_handler=has_handler)


def refusal(text: bytes | str | dict[str, Any], *, has_handler: bool = True) -> str:
    with pytest.raises(InvalidWorkflow) as error:
        read(text, has_handler=has_handler)
    return error.value.message


def chain(**models: Any) -> dict[str, Any]:
    """One node ``m``, and ``models`` as given."""
    return {"models": {"m": {"url": "m.mar"}, **models}, "dag": {"m": []}}


def test_a_pipeline_of_torchserves_examples_is_read() -> None:
    found = read(DOG_BREED)
    nodes = found.graph.nodes
    assert list(nodes) == ["pre_processing", "cat_dog_classification", "dog_breed_classification"]
    assert (found.graph.start, found.graph.leaves) == ("pre_processing", ("dog_breed_classification",))
    assert nodes["dog_breed_classification"].predecessors == ("pre_processing", "cat_dog_classification")
    assert nodes["cat_dog_classification"].url == "cat_dog_classification.mar"
    assert nodes["cat_dog_classification"].serving == Serving(
        max_workers=1, batch_size=4, max_batch_delay_s=0.1, retry_attempts=5, timeout_s=300.0
    )
    second = nodes["dog_breed_classification"].serving
    assert (second.batch_size, second.max_workers, second.timeout_s) == (2, 3, 300.0)
    assert found.dag == {
        "pre_processing": ("cat_dog_classification", "dog_breed_classification"),
        "cat_dog_classification": ("dog_breed_classification",),
    }
    assert found.warnings == ()


def test_what_is_not_given_has_torchserves_default() -> None:
    found = read(chain())
    assert found.serving == found.graph.nodes["m"].serving
    assert found.serving == Serving(
        min_workers=1, max_workers=1, batch_size=1, max_batch_delay_s=0.05, retry_attempts=1, timeout_s=10.0
    )


def test_a_global_value_counts_wherever_it_stands() -> None:
    """TorchServe applies it only to models that come after it."""
    found = read("models:\n  m: {url: m.mar}\n  batch-size: 8\n  retry-attempts: 0\ndag:\n  m: []\n  ")
    assert found.graph.nodes["m"].serving.batch_size == 8
    assert found.graph.nodes["m"].serving.retry_attempts == 0


def test_a_function_has_one_worker_one_row_and_no_delay_but_the_global_attempts_and_timeout() -> None:
    spec = (
        "models: {max-workers: 4, batch-size: 8, max-batch-delay: 70, retry-attempts: 3, timeout-ms: 500}\ndag: {f: []}"
    )
    node = read(spec).graph.nodes["f"]
    assert node.is_function
    assert node.serving == Serving(max_batch_delay_s=0.0, retry_attempts=3, timeout_s=0.5)


def test_a_function_may_ask_for_more_workers_and_rows_by_an_entry_of_its_own() -> None:
    node = read({"models": {"f": {"batch-size": 8, "max-workers": 2, "timeout-ms": 7}}, "dag": {"f": []}}).graph.nodes[
        "f"
    ]
    assert node.is_function
    assert node.serving == Serving(max_workers=2, batch_size=8, max_batch_delay_s=0.0, timeout_s=0.007)


def test_minus_one_rows_and_minus_a_hundred_milliseconds_mean_as_the_archive_says() -> None:
    serving = read(chain(**{"batch-size": -1, "max-batch-delay": -100})).graph.nodes["m"].serving
    assert (serving.batch_size, serving.max_batch_delay_s) == (None, None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"min-workers": 3}, (3, 3)),
        ({"max-workers": 3}, (1, 3)),
        ({"max-workers": 0}, (0, 0)),
        ({"min-workers": 2, "max-workers": 4}, (2, 4)),
    ],
)
def test_the_minimum_of_workers_is_honoured(values: dict[str, int], expected: tuple[int, int]) -> None:
    for spec in (chain(**values), chain(m={"url": "m.mar", **values})):
        found = read(spec)
        serving = found.graph.nodes["m"].serving
        assert (serving.min_workers, serving.max_workers) == expected
        assert found.warnings == ()


def test_a_minimum_over_the_maximum_is_a_warning_because_torchserve_ignores_it() -> None:
    found = read(chain(m={"url": "m.mar", "min-workers": 4, "max-workers": 2}))
    assert (found.graph.nodes["m"].serving.min_workers, found.graph.nodes["m"].serving.max_workers) == (2, 2)
    assert found.warnings == ("models.m: min-workers (4) is more than max-workers (2), which takes precedence",)


@pytest.mark.parametrize("after", ["[]", "['']", '[""]'])
def test_a_leaf_may_be_written_with_an_empty_list_or_an_empty_name(after: str) -> None:
    found = read(f"models: {{}}\ndag: {{a: [b], b: {after}}}")
    assert found.graph.leaves == ("b",)
    assert found.dag == {"a": ("b",), "b": ()}


def test_several_leaves_keep_the_order_of_the_specification() -> None:
    assert read("models: {}\ndag: {a: [z, b], b: [y], y: [], z: []}").graph.leaves == ("z", "y")


@pytest.mark.parametrize(
    ("dag", "text"),
    [
        ("{a: [], b: []}", "DAG should have only one start node"),
        ("{a: [b], b: [a]}", "DAG should have only one start node"),
        ("{}", "DAG should have only one start node"),
        ("{a: [a]}", "Self loop exception"),
        ("{a: [b, b]}", "loop exception"),
        ("{a: [b], b: [c], c: [b]}", "Not a valid DAG"),
    ],
)
def test_a_wrong_graph_has_torchserves_words(dag: str, text: str) -> None:
    with pytest.raises(InvalidGraph) as error:
        read(f"models: {{}}\ndag: {dag}")
    assert error.value.message == text


WRONG = [
    ("", "the content is missing or empty"),
    ("[]", "the content must be a map, not a list"),
    ("text", "the content must be a map, not text"),
    ("dag: {a: []}", "models is missing or empty"),
    ("models:\ndag: {a: []}", "models is missing or empty"),
    ("models: {}", "dag is missing or empty"),
    ("models: {}\ndag:", "dag is missing or empty"),
    ("models: [m]\ndag: {a: []}", "models must be a map, not a list"),
    ("models: {}\ndag: [a]", "dag must be a map, not a list"),
    ("models: {}\ndag: {a: b}", "dag.a must be a list of the next nodes, not b"),
    ("models: {}\ndag: {a: }", "dag.a must be a list of the next nodes, not None"),
    ("models: {}\ndag: {a: {b: []}}", "dag.a must be a list of the next nodes, not a map"),
    ("models: {}\ndag: {a: [1]}", "the name of a node must be text, not 1; YAML needs quotes around such a name"),
    ("models: {}\ndag: {yes: []}", "the name of a node must be text, not True; YAML needs quotes around such a name"),
    ("models: {}\ndag: {a: [[b]]}",
     "the name of a node must be text, not a list; YAML needs quotes around such a name"),
    ("models: {}\ndag: {a b: []}", "Node name contains special characters: a b"),
    ("models: {}\ndag: {a/b: []}", "Node name contains special characters: a/b"),
    ("models: {}\ndag: {'../x': []}", "Node name contains special characters: ../x"),
    ("models: {}\ndag: {'': []}", "Node name is empty."),
    ("models: {m: m.mar}\ndag: {m: []}", "models.m must be a map, not m.mar"),
    ("models: {m: }\ndag: {m: []}", "models.m is missing or empty"),
    ("models: {m: {url: 5}}\ndag: {m: []}", "models.m.url must be the name or the URL of a model archive, not 5"),
    ("models: {m: {url: }}\ndag: {m: []}", "models.m.url must be the name or the URL of a model archive, not None"),
    ("models: {m: {url: ''}}\ndag: {m: []}", "models.m.url must be the name or the URL of a model archive, not ''"),
    ("models: {batch-size: '2'}\ndag: {a: []}", "models.batch-size must be a whole number of at least 1, not 2"),
    ("models: {batch-size: 1.5}\ndag: {a: []}", "models.batch-size must be a whole number of at least 1, not 1.5"),
    ("models: {batch-size: 0}\ndag: {a: []}", "models.batch-size must be a whole number of at least 1, not 0"),
    ("models: {batch-size: true}\ndag: {a: []}", "models.batch-size must be a whole number of at least 1, not True"),
    ("models: {timeout-ms: 0}\ndag: {a: []}", "models.timeout-ms must be a whole number of at least 1, not 0"),
    ("models: {retry-attempts: -1}\ndag: {a: []}",
     "models.retry-attempts must be a whole number of at least 0, not -1"),
    ("models: {timeout-ms: 99999999999}\ndag: {a: []}",
     "models.timeout-ms must be a whole number of at least 1, not a larger number"),
    ("models: {max-workers: 5000}\ndag: {a: []}", "models.max-workers must be a whole number from 0 to 4096, not 5000"),
    ("models: {m: {max-workers: {}}}\ndag: {m: []}",
     "models.m.max-workers must be a whole number from 0 to 4096, not a map"),
    ("models: {m: {decode: 1}}\ndag: {m: []}", "models.m.decode must be true or false, not 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "what"), WRONG)
def test_a_wrong_specification_says_what_is_wrong(text: str, what: str) -> None:
    assert refusal(text) == f"Invalid workflow specification: {what}"


def test_a_function_needs_a_handler_file() -> None:
    assert refusal("models: {}\ndag: {f: []}", has_handler=False) == (
        "Invalid workflow specification: node f has no url, and the archive has no handler file with a function of "
        "that name"
    )
    assert not read(chain(), has_handler=False).graph.nodes["m"].is_function


@pytest.mark.parametrize(
    "text",
    [
        b"models: [",
        b"\xff\xfe\xfd",
        b"a: !!python/object/apply:os.system ['true']",
        b"a: b: c",
        b"{" * 1500,
        b"? [a]\n: b",
    ],
)
def test_bad_yaml_has_torchserves_words_first(text: bytes) -> None:
    assert refusal(text).startswith("Failed to parse yaml. workflow.yaml is ")


def test_a_short_text_that_means_billions_of_values_is_refused() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert "its aliases expand to too many values" in refusal("\n".join(levels))


def test_the_number_of_nodes_is_bounded() -> None:
    dag = {"start": [f"n{i}" for i in range(MAX_NODES)]}
    assert refusal({"models": {}, "dag": dag}).endswith(f"dag has {MAX_NODES + 1} nodes; the limit is {MAX_NODES}")


def test_a_long_name_of_a_node_is_refused_because_models_carry_it() -> None:
    assert refusal({"models": {}, "dag": {"n" * 121: []}}).endswith("Node name is longer than 120 characters.")


def test_what_has_no_effect_is_a_warning_and_names_the_likely_key() -> None:
    spec = chain(
        retry_attempts=3, strange=1, m={"url": "m.mar", "batchsize": 4}, unused={"url": "not-even-there.mar", "x": 1}
    )
    assert read({**spec, "dags": {}, "name": "w"}).warnings == (
        "dags is unknown and has no effect; did you mean dag?",
        "name is unknown and has no effect",
        "models.retry_attempts is unknown and has no effect; did you mean retry-attempts?",
        "models.strange is unknown and has no effect",
        "models.unused is not in dag and has no effect",
        "models.m.batchsize is unknown and has no effect; did you mean batch-size?",
    )


def test_a_flood_of_unknown_keys_gives_few_warnings() -> None:
    warnings = read(chain(**{f"key{i}": i for i in range(2000)})).warnings
    assert len(warnings) == 21
    assert warnings[-1] == "there are more warnings"


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["m", "f"])
KEYS = st.sampled_from(["m", "f", "url", "decode", "batch-size", "min-workers", "max-workers", "timeout-ms"]) | SCALARS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({"models": VALUES, "dag": VALUES}, optional={"more": VALUES}), st.booleans())
def test_anything_is_read_or_refused_in_one_printable_sentence(data: dict[str, Any], has_handler: bool) -> None:
    try:
        found = read(yaml.safe_dump(data, allow_unicode=True), has_handler=has_handler)
    except InvalidWorkflow as error:
        texts: tuple[str, ...] = (error.message,)
    else:
        assert set(found.graph.nodes) >= {found.graph.start, *found.graph.leaves}
        texts = found.warnings
    assert all(text.isprintable() and len(text) < 400 for text in texts)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        read(content)
    except InvalidWorkflow as error:
        assert error.message.isprintable()
