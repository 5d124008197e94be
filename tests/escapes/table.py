"""Write the table of docs/sandbox.md: every attack in every place that this machine offers.

python tests/escapes/table.py
"""

import platform
from pathlib import Path

from attacks import ATTACKS
from places import PLACES, attacked

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"
BEGIN, END = "<!-- attacks: begin -->", "<!-- attacks: end -->"


def main() -> None:
    columns = {}
    for place, how in PLACES.items():
        found, why = attacked(*how)
        print(f"{place}: {len(found) if found else why}", flush=True)
        if found is not None:
            columns[place] = found
    lines = [
        f"{len(ATTACKS)} attacks, Linux {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}. `ok` is harmless, with the verdict; "
        "LEAK got through.",
        "",
        "| attack | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for name in ATTACKS:
        cells = []
        for found in columns.values():
            harmless, verdict = found[name]
            cells.append(f"{'ok' if harmless else '**LEAK**'}, {verdict}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


if __name__ == "__main__":
    main()
