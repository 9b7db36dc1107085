"""Puts the book's ledger into the wheel, so that claims can be judged outside a checkout.

Everything else about the package stands in pyproject.toml.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BOOK = Path(__file__).parent / "book"
KEPT = ("claims.yaml", "verdicts.json", "reference/*.yaml")


class BuildWithLedger(build_py):
    """Copies the ledger, the committed verdicts and the reports' numbers to `hplab/book`."""

    def run(self) -> None:
        """Build the package; one that is installed to be edited reads the checkout's own files."""
        super().run()
        if self.editable_mode:
            return
        for path in sorted(path for pattern in KEPT for path in BOOK.glob(pattern)):
            target = Path(self.build_lib, "hplab", "book", path.relative_to(BOOK))
            self.mkpath(str(target.parent))
            self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": BuildWithLedger})
