"""Where the records are: the last cell of a notebook says it, and how to keep them."""

import re
import shutil
import sys
import types

from synthetic_records import make_record

from hplab.pages.notebooks.keep import keep
from hplab.sweeps.store import Store


def test_on_ones_own_machine_they_stay(store, monkeypatch):
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    said = repr(keep(store))

    assert f"are in {store.pending} (0 records so far)" in said
    assert "vanish" not in said


def test_on_colab_a_line_downloads_them(store, monkeypatch, tmp_path):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    monkeypatch.chdir(tmp_path)
    store.pending.mkdir(parents=True)
    (store.pending / "a.jsonl.txt").write_text("a record")
    said = repr(keep(store))

    (call,) = re.findall(r"files\.download\((.+)\)\n", said)
    archive = eval(call, {"shutil": shutil})  # the line as a reader would run it
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "a.jsonl.txt").read_text() == "a record"
    assert "vanish with this Colab machine" in said


def test_on_colab_a_cell_holds_them_and_a_folder_of_the_drive_together(
    store, monkeypatch, tmp_path
):
    """Run at the end of one machine's life and at the start of the next one's."""
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    mounted = []
    drive = types.SimpleNamespace(mount=mounted.append)
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(drive=drive))
    said = repr(keep(store))
    cell = said[said.index("import os, shutil") :]
    cell = cell.replace("/content/drive/MyDrive", str(tmp_path / "MyDrive"))
    first = store.put([make_record(1)])

    exec(cell, {})
    assert mounted == ["/content/drive"]
    first.unlink()  # the machine is taken away; another one has trained something else
    second = store.put([make_record(2)])
    exec(cell, {})
    kept = {path.name for path in (tmp_path / "MyDrive" / "hplab-records").iterdir()}
    assert (
        {path.name for path in store.pending.glob("*.jsonl")} == kept == {first.name, second.name}
    )
    assert len(list(Store(store.root, store.pending).records())) == 2
