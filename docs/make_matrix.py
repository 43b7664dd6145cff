"""Write docs/compatibility.md from the tests: `python docs/make_matrix.py`."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "compatibility.md"


def main():
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "sklearn_home")]
    import compatibility

    PAGE.write_text(compatibility.render(), encoding="utf-8")


if __name__ == "__main__":
    main()
