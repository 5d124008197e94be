import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_generated_pages_are_those_the_code_gives():
    pages = runpy.run_path(str(DOCS / "generate.py"))["pages"]()
    stale = [p for p, text in pages.items() if (DOCS / p).read_text(encoding="utf-8") != text]
    assert not stale, f"run `python docs/generate.py`: {stale}"
