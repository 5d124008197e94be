import os
import signal
import subprocess
import sys

import pytest

from instar.errors import StoreError, UsageError
from instar.store.artefacts import FolderArtefacts
from instar.store.folder import RunFolder

HOLDER = """
import sys, time
from pathlib import Path
from instar.store.folder import RunFolder
with RunFolder(Path(sys.argv[1])).open_for_writing():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_in_use_names_the_process_and_a_killed_one_lets_go(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder.path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    used = pytest.raises(UsageError, match=f"in use by process {holder.pid}")
    with used, folder.open_for_writing():
        pass
    with folder.open_for_reading() as ledger:
        assert ledger.seconds() == 0
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with folder.open_for_writing() as ledger:
        assert ledger.seconds() == 0


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not a run folder"):
        RunFolder(tmp_path)


def test_a_run_is_not_made_over_another_or_over_other_files(tmp_path):
    RunFolder.create(tmp_path / "run")
    with pytest.raises(UsageError, match="go on with: instar resume"):
        RunFolder.create(tmp_path / "run")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        RunFolder.create(tmp_path / "full")


def test_opening_for_writing_empties_the_scratch_folder(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    with folder.open_for_writing():
        (folder.scratch / "left").write_text("over")
    with folder.open_for_writing():
        assert list(folder.scratch.iterdir()) == []


@pytest.fixture
def adapter(tmp_path):
    made = tmp_path / "adapter"
    (made / "deep").mkdir(parents=True)
    (made / "a.json").write_text("{}")
    (made / "deep" / "b.bin").write_bytes(b"\x00\x01")
    return made


def test_an_artefact_is_its_content(tmp_path, adapter):
    store = FolderArtefacts(tmp_path / "store")
    name = store.add(adapter)
    assert store.add(adapter) == name
    assert (store.path(name) / "deep" / "b.bin").read_bytes() == b"\x00\x01"
    (adapter / "a.json").write_text("{ }")
    assert store.add(adapter) != name


def test_a_renamed_file_is_another_artefact(tmp_path, adapter):
    store = FolderArtefacts(tmp_path / "store")
    name = store.add(adapter)
    (adapter / "a.json").rename(adapter / "c.json")
    assert store.add(adapter) != name


def test_a_changed_artefact_is_found(tmp_path, adapter):
    store = FolderArtefacts(tmp_path / "store")
    name = store.add(adapter)
    store.verify(name)
    (store.path(name) / "a.json").write_text("changed")
    with pytest.raises(StoreError, match="was changed"):
        store.verify(name)


def test_links_are_no_artefacts(tmp_path, adapter):
    (adapter / "link").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="neither a file nor a folder"):
        FolderArtefacts(tmp_path / "store").add(adapter)


def test_an_artefact_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match="no artefact nothing"):
        FolderArtefacts(tmp_path).path("nothing")
