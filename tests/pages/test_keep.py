"""Where the records are: the last cell of a notebook says it, and how to keep them."""

import re
import shutil

from hplab.pages.notebooks.keep import keep


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
