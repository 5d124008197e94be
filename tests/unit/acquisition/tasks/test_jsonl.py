"""Files of tasks: what is read, what is refused, and how the refusal reads."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instar.acquisition.tasks.jsonl import Jsonl
from instar.errors import DataError

DATA = Path(__file__).parents[5] / "shared" / "data"


def written(folder, *lines):
    path = folder / "tasks.jsonl"
    path.write_bytes(b"\n".join(e if isinstance(e, bytes) else e.encode() for e in lines))
    return path


def load(path, **names):
    return Jsonl(path, **names).load(None, 0)


def test_a_row_becomes_a_task_and_keeps_all_its_fields(tmp_path):
    row = {"prompt": "1+1?", "answer": 2, "id": 7, "tags": ["sum"], "source": {"page": [1, None]}}
    (task,) = load(written(tmp_path, json.dumps(row)))
    assert task.prompt == "1+1?"
    assert task.reference == "2"
    assert task.name == "7"
    assert task.tags == ("sum",)
    assert task.origin == "tasks.jsonl"
    assert json.loads(task.material) == {"source": {"page": [1, None]}}


def test_a_conversation_keeps_its_turns(tmp_path):
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye?"},
    ]
    (task,) = load(written(tmp_path, json.dumps({"messages": turns, "prompt": None})))
    assert [{"role": m.role, "content": m.content} for m in task.messages] == turns
    assert task.prompt == "Bye?"
    assert task.reference is None


def test_blank_lines_carriage_returns_and_a_byte_order_mark_are_no_tasks(tmp_path):
    path = written(tmp_path, b'\xef\xbb\xbf{"prompt": "a"}\r', b"", b"  \r", b'{"prompt": "b"}\r')
    assert [t.prompt for t in load(path)] == ["a", "b"]


def test_line_separators_and_control_characters_in_text_are_data(tmp_path):
    text = "a\u2028b\x85c\x00d\x1b[2Je"
    lines = (json.dumps({"prompt": text}, ensure_ascii=raw) for raw in (True, False))
    assert [t.prompt for t in load(written(tmp_path, *lines))] == [text, text]


def test_fields_may_have_other_names(tmp_path):
    path = written(tmp_path, '{"question": "1+1?", "final": 2, "answer": "because"}')
    (task,) = load(path, prompt="question", answer="final")
    assert (task.prompt, task.reference) == ("1+1?", "2")
    assert json.loads(task.material) == {"answer": "because"}


def test_the_whole_file_is_read_whatever_the_count(tmp_path):
    path = written(tmp_path, *(f'{{"prompt": "{i}"}}' for i in range(5)))
    assert [t.prompt for t in Jsonl(path).load(2, 0)] == list("01234")


def test_numbers_keep_their_digits(tmp_path):
    path = written(tmp_path, *(f'{{"prompt":"a","answer":{n}}}' for n in (3, -0.5, "1" * 400)))
    assert [t.reference for t in load(path)] == ["3", "-0.5", "1" * 400]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "expected one JSON object"),
        ("[1]", "expected an object with a prompt, found a list"),
        ("3", "found a number"),
        ("null", "found null"),
        ('"x"', "found text"),
        ("{}", "expected a field 'prompt' or 'messages', found none"),
        ('{"question": "a"}', "found 'question'; name the field .* with the option `prompt`"),
        ('{"prompt": null}', "expected a field 'prompt'"),
        ('{"prompt": "a", "messages": []}', "expected 'prompt' or 'messages', found both"),
        ('{"prompt": 3}', "prompt: expected text, found a number"),
        ('{"prompt": " \\n"}', "prompt: expected text, found none but blanks"),
        ('{"prompt": "a\\ud800"}', "prompt: half of a surrogate pair at character 1"),
        ('{"prompt": "a", "answer": true}', "answer: expected text or a number, found true"),
        ('{"prompt": "a", "answer": ["b"]}', "answer: expected text or a number, found a list"),
        ('{"prompt": "a", "answer": " "}', "answer: found only blanks; leave it out"),
        ('{"prompt": "a", "answer": 1e999}', "answer: expected a finite number"),
        ('{"prompt": "a", "answer": NaN}', "NaN is not JSON"),
        ('{"prompt": "a", "answer": ' + "9" * 5000 + "}", "limit"),
        ('{"prompt": "a", "prompt": "b"}', "the field 'prompt' is given twice"),
        ('{"prompt": "a", "x": {"y": 1, "y": 2}}', "the field 'y' is given twice"),
        ('{"prompt": "a", "x": "\\udfff"}', "half of a surrogate pair"),
        ('{"prompt": "a", "x": 1e999}', "a field beyond the known ones is no JSON"),
        ('{"prompt": "a", "x": ' + "[" * 200_000 + "]" * 200_000 + "}", "nested too deeply"),
        ('{"prompt": "a", "id": true}', "id: expected text or a number, found true"),
        ('{"prompt": "a", "id": 1.5}', "id: expected text or a whole number, found 1.5"),
        ('{"prompt": "a", "tags": "b"}', "tags: expected a list of texts, found text"),
        ('{"prompt": "a", "tags": [1]}', r"tags\[0\]: expected text, found a number"),
        ('{"messages": []}', "messages: expected a list of .*, found an empty one"),
        ('{"messages": "a"}', "messages: expected a list of .*, found text"),
        ('{"messages": ["a"]}', r"messages\[0\]: expected \{role, content\}, found text"),
        ('{"messages": [{"role": "user"}]}', r"messages\[0\]: expected .* found \['role'\]"),
        ('{"messages": [{"role": "me", "content": "a"}]}', "expected one of .*, found 'me'"),
        ('{"messages": [{"role": [], "content": "a"}]}', "expected one of"),
        ('{"messages": [{"role": "user", "content": 1}]}', "content: expected text"),
        (
            '{"messages": [{"role": "assistant", "content": "a"}]}',
            "expected the last turn to be the user's, found 'assistant'",
        ),
    ],
)
def test_a_bad_line_is_named_with_what_was_expected(tmp_path, line, said):
    path = written(tmp_path, '{"prompt": "fine"}', "", line)
    with pytest.raises(DataError, match=said) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}, line 3: ")
    assert len(str(caught.value)) < len(str(path)) + 300


def test_a_field_named_by_the_user_must_be_there(tmp_path):
    path = written(tmp_path, '{"prompt": "a"}')
    with pytest.raises(DataError, match="line 1: expected the field 'final', named by `answer`"):
        load(path, answer="final")


def test_a_repeated_id_names_both_lines(tmp_path):
    rows = ('{"prompt": "a", "id": 1}', '{"prompt": "b"}', '{"prompt": "c", "id": "1"}')
    path = written(tmp_path, *rows)
    with pytest.raises(DataError, match=r"line 3: the id '1' was given before, in .*line 1$"):
        load(path)


def test_two_rows_alike_are_both_read(tmp_path):
    assert len(load(written(tmp_path, '{"prompt": "a"}', '{"prompt": "a"}'))) == 2


def test_bytes_that_are_no_text_name_the_line(tmp_path):
    with pytest.raises(DataError, match="line 2: expected UTF-8 text; byte 12 is not"):
        load(written(tmp_path, '{"prompt": "a"}', b'{"prompt": "\xff"}'))
    with pytest.raises(DataError, match="line 1: expected UTF-8 text; byte 0 is not"):
        load(written(tmp_path, '{"prompt": "a"}'.encode("utf-16")))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_tasks_is_an_error(tmp_path, content):
    with pytest.raises(DataError, match="found an empty file"):
        load(written(tmp_path, content))


def test_a_missing_file_names_its_neighbour(tmp_path):
    written(tmp_path, '{"prompt": "a"}')
    with pytest.raises(DataError, match=r"there is no file .*; did you mean 'tasks.jsonl'"):
        load(tmp_path / "task.jsonl")
    with pytest.raises(DataError, match="there is no file"):
        load(tmp_path / "nowhere" / "tasks.jsonl")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
rows = st.dictionaries(
    st.sampled_from(["prompt", "messages", "answer", "id", "tags", "more"]), json_values
)


@settings(deadline=None)
@given(st.lists(rows.map(json.dumps) | st.text() | st.binary(), max_size=4))
def test_any_file_gives_tasks_or_a_data_error(tmp_path_factory, lines):
    path = written(tmp_path_factory.mktemp("any"), *(_encoded(line) for line in lines))
    try:
        found = load(path)
    except DataError as error:
        said, found = str(error), []
    else:
        said = str(path)
    assert str(path) in said
    assert all(t.prompt.strip() and t.id for t in found)


def _encoded(line):
    return line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("gsm8k_train", 7473),
        ("gsm8k_test", 1319),
        ("multiarith", 600),
        ("addsub", 395),
        ("commonsenseqa_train", 9741),
        ("humaneval", 164),
    ],
)
def test_public_data_sets_load_whole(name, count):
    path = DATA / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    found = load(path)
    assert len(found) == count
    if name == "humaneval":  # it has no answers; its tests must not get lost
        assert all("test" in json.loads(t.material) for t in found)
    else:
        assert all(t.reference for t in found)


def test_a_data_set_without_prompts_is_told_how_to_name_them():
    path = DATA / "self_instruct_seeds.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with pytest.raises(DataError, match=r"found 'id', .*'instruction'.*option `prompt`"):
        load(path)
    assert len(load(path, prompt="instruction")) == 175
