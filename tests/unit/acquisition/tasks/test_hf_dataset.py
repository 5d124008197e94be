"""Data sets saved to disk: the same rows, the same errors, splits that must be named."""

import sys

import pytest

from instar.acquisition.tasks.hf_dataset import HfDataset
from instar.errors import DataError, MissingExtra

datasets = pytest.importorskip("datasets")
ROWS = [
    {"prompt": "1+1?", "answer": "2", "id": "a", "tags": ["sum"], "level": 1},
    {"prompt": "2+2?", "answer": None, "id": "b", "tags": None, "level": 2},
]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "sums"
    datasets.Dataset.from_list(ROWS).save_to_disk(str(path))
    return path


@pytest.fixture
def several(tmp_path):
    path = tmp_path / "both"
    rows = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"train": rows, "test": rows.select([1])}).save_to_disk(str(path))
    return path


def test_rows_become_tasks_and_missing_values_are_absent(folder):
    first, second = HfDataset(folder).load(None, 0)
    assert (first.prompt, first.reference, first.name, first.tags) == ("1+1?", "2", "a", ("sum",))
    assert first.material == '{"level": 1}'
    assert (second.reference, second.tags) == (None, ())


def test_messages_are_read(tmp_path):
    rows = [{"messages": [{"role": "user", "content": "Hi"}]}]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "chat"))
    assert HfDataset(tmp_path / "chat").load(None, 0)[0].prompt == "Hi"


def test_one_split_of_several_is_named(several):
    assert [t.name for t in HfDataset(several, split="test").load(None, 0)] == ["b"]
    with pytest.raises(DataError, match="has several splits; name one with `split`: train, test"):
        HfDataset(several).load(None, 0)
    with pytest.raises(DataError, match="no split 'tets'; did you mean 'test'"):
        HfDataset(several, split="tets").load(None, 0)


def test_a_split_of_a_data_set_without_splits_is_refused(folder):
    with pytest.raises(DataError, match="has no splits, so there is no 'train'"):
        HfDataset(folder, split="train").load(None, 0)


def test_a_bad_row_is_named(tmp_path):
    datasets.Dataset.from_list([{"prompt": "a"}, {"prompt": " "}]).save_to_disk(tmp_path / "x")
    with pytest.raises(DataError, match="x, row 2: prompt: expected text, found none but blanks"):
        HfDataset(tmp_path / "x").load(None, 0)


def test_a_value_that_is_no_json_is_named(tmp_path):
    datasets.Dataset.from_list([{"prompt": "a", "raw": b"\x00"}]).save_to_disk(tmp_path / "x")
    with pytest.raises(DataError, match="row 1: a field beyond the known ones is no JSON"):
        HfDataset(tmp_path / "x").load(None, 0)


def test_no_rows_no_folder_and_another_folder_are_errors(tmp_path, folder):
    none = datasets.Dataset.from_list(ROWS).filter(lambda row: False, keep_in_memory=True)
    none.save_to_disk(tmp_path / "none", num_shards=1)
    with pytest.raises(DataError, match="without rows"):
        HfDataset(tmp_path / "none").load(None, 0)
    with pytest.raises(DataError, match=r"there is no folder .*; did you mean 'sums'"):
        HfDataset(tmp_path / "sum").load(None, 0)
    (tmp_path / "plain").mkdir()
    with pytest.raises(DataError, match="is no data set saved by `save_to_disk`"):
        HfDataset(tmp_path / "plain").load(None, 0)
    (folder / "state.json").write_text("{")
    with pytest.raises(DataError, match="is no data set saved by `save_to_disk`"):
        HfDataset(folder).load(None, 0)


def test_a_missing_package_is_named_with_the_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"needs the package 'datasets'.*instar\[train\]"):
        HfDataset(folder).load(None, 0)
