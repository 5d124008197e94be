import os
import shutil

import pytest

from instar.errors import StoreError
from instar.store.artefacts import FolderArtefacts
from instar.types import ID_LENGTH


@pytest.fixture
def artefacts(tmp_path):
    return FolderArtefacts(tmp_path / "artefacts")


def folder(place, files):
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place


FILES = {"adapter.safetensors": b"\x00weights" * 1000, "config/adapter.json": b"{}"}


def test_what_is_taken_in_comes_out_as_it_was(artefacts, tmp_path):
    made = artefacts.add(folder(tmp_path / "in", FILES))
    place = artefacts.path(made)
    assert len(made) == ID_LENGTH
    assert {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*.*")} == FILES


def test_the_copy_does_not_change_with_the_original(artefacts, tmp_path):
    source = folder(tmp_path / "in", FILES)
    made = artefacts.add(source)
    (source / "config/adapter.json").write_bytes(b"changed")
    artefacts.verify(made)
    shutil.rmtree(source)
    artefacts.verify(made)


def test_the_same_content_is_the_same_artefact_and_is_stored_once(artefacts, tmp_path):
    one = artefacts.add(folder(tmp_path / "one", FILES))
    before = os.stat(artefacts.path(one) / "adapter.safetensors").st_ino
    other = artefacts.add(folder(tmp_path / "other", dict(reversed(FILES.items()))))
    assert one == other
    assert os.stat(artefacts.path(one) / "adapter.safetensors").st_ino == before
    assert os.listdir(tmp_path / "artefacts") == [one]


@pytest.mark.parametrize(
    "other",
    [
        {"adapter.safetensors": FILES["adapter.safetensors"]},
        {**FILES, "config/adapter.json": b"{ }"},
        {**FILES, "config/empty": b""},
        {"adapter.safetensors": FILES["adapter.safetensors"], "adapter.json": b"{}"},
        {"adapter.json": FILES["adapter.safetensors"], "config/adapter.safetensors": b"{}"},
    ],
    ids=["a file less", "another byte", "an empty file more", "another folder", "swapped"],
)
def test_another_content_is_another_artefact(artefacts, tmp_path, other):
    one = artefacts.add(folder(tmp_path / "one", FILES))
    assert artefacts.add(folder(tmp_path / "other", other)) != one


def test_an_empty_folder_inside_is_content(artefacts, tmp_path):
    one = artefacts.add(folder(tmp_path / "one", FILES))
    more = folder(tmp_path / "more", FILES)
    (more / "nothing").mkdir()
    other = artefacts.add(more)
    assert other != one
    assert (artefacts.path(other) / "nothing").is_dir()


def test_where_a_name_ends_and_content_begins_is_content(artefacts, tmp_path):
    one = artefacts.add(folder(tmp_path / "one", {"a": b"bc"}))
    assert artefacts.add(folder(tmp_path / "other", {"ab": b"c"})) != one


def test_a_file_name_of_any_bytes_is_kept(artefacts, tmp_path):
    odd = os.fsdecode(b"\xff\n name")
    made = artefacts.add(folder(tmp_path / "in", {odd: b"x"}))
    assert os.listdir(artefacts.path(made)) == [odd]


def test_an_artefact_that_is_not_there_is_named(artefacts):
    for name in ("f" * ID_LENGTH, "", "..", "../artefacts"):
        with pytest.raises(StoreError, match="there is no artefact"):
            artefacts.path(name)


CHANGES = {
    "a byte": lambda place: (place / "config/adapter.json").write_bytes(b"[]"),
    "a file more": lambda place: (place / "more").write_bytes(b""),
    "a file less": lambda place: (place / "adapter.safetensors").unlink(),
    "a new name": lambda place: (place / "config").rename(place / "conf"),
    "a link": lambda place: (place / "link").symlink_to("config"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_stored_artefact_that_was_changed_is_found(artefacts, tmp_path, change):
    made = artefacts.add(folder(tmp_path / "in", FILES))
    CHANGES[change](tmp_path / "artefacts" / made)
    with pytest.raises(StoreError, match=r"was changed|cannot be an artefact"):
        artefacts.verify(made)
    with pytest.raises(StoreError, match=r"was changed|cannot be an artefact"):
        FolderArtefacts(tmp_path / "artefacts").path(made)


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "dangling link", "pipe"])
def test_what_is_neither_file_nor_folder_is_refused_and_nothing_is_stored(
    artefacts, tmp_path, kind
):
    source = folder(tmp_path / "in", FILES)
    odd = source / "config" / "odd"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to(
            {"link to a file": "adapter.json", "link to a folder": ".."}.get(kind, "nowhere")
        )
    with pytest.raises(StoreError, match="odd is neither a file nor a folder"):
        artefacts.add(source)
    assert not (tmp_path / "artefacts").exists()


def test_a_folder_that_is_not_there_or_is_a_file_is_refused(artefacts, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for name in ("none", "file"):
        with pytest.raises(StoreError, match=f"{name} is not a folder"):
            artefacts.add(tmp_path / name)


def test_a_copy_that_fails_leaves_nothing_behind(tmp_path):
    (tmp_path / "root").write_bytes(b"in the way")
    with pytest.raises(StoreError, match="cannot be stored"):
        FolderArtefacts(tmp_path / "root").add(folder(tmp_path / "in", FILES))


def test_unfinished_copies_are_swept_and_artefacts_are_not(artefacts, tmp_path):
    made = artefacts.add(folder(tmp_path / "in", FILES))
    folder(tmp_path / "artefacts" / ".new-abc" / "copy", FILES)
    artefacts.sweep()
    assert os.listdir(tmp_path / "artefacts") == [made]
    FolderArtefacts(tmp_path / "none").sweep()


def test_two_stores_may_add_the_same_content_at_once(tmp_path, monkeypatch):
    """The other one is quicker: it adds between this one's look and its rename."""
    source = folder(tmp_path / "in", FILES)
    one, other = FolderArtefacts(tmp_path / "root"), FolderArtefacts(tmp_path / "root")
    copy = shutil.copytree

    def slower(*where, **how):
        monkeypatch.setattr(shutil, "copytree", copy)
        other.add(source)
        return copy(*where, **how)

    monkeypatch.setattr(shutil, "copytree", slower)
    made = one.add(source)
    assert os.listdir(tmp_path / "root") == [made]
    one.verify(made)


def test_a_folder_that_changes_while_it_is_stored_is_refused(artefacts, tmp_path, monkeypatch):
    source = folder(tmp_path / "in", FILES)
    copy = shutil.copytree

    def changing(*where, **how):
        (source / "config/adapter.json").write_bytes(b"changed")
        return copy(*where, **how)

    monkeypatch.setattr(shutil, "copytree", changing)
    with pytest.raises(StoreError, match="changed while it was stored"):
        artefacts.add(source)
    assert os.listdir(tmp_path / "artefacts") == []
