"""A copy of the working tree as a repository of its own, so that no test touches this one."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRESET = os.environ.get("HPLAB_DOORS_PRESET", "smoke")
AUTHOR = ("-c", "user.name=Test", "-c", "user.email=test@example.org")


def git(folder, *words):
    """What git prints in a folder."""
    command = ["git", *AUTHOR, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def copy_to(folder):
    """Make a repository with one commit: the working tree's files, committed there or not."""
    names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in names:
        if name and (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "the working tree")
    return folder
