"""No attack gets out, on any isolation, as any user, with and without user namespaces."""

import pytest
from attacks import ATTACKS, MILD
from places import PLACES, attacked
from table import BEGIN, END, PAGE


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_every_attack_is_harmless_and_a_verdict(place):
    found, why = attacked(*PLACES[place])
    if found is None:
        pytest.skip(why)
    assert found.keys() == ATTACKS.keys()
    assert {name: verdict for name, (harmless, verdict) in found.items() if not harmless} == {}
    assert {v for _, v in found.values()} <= {"exit 0", "exit 1", "signal", "timeout", "output"} | {
        "disk"
    }


@pytest.mark.slow
def test_without_isolation_the_same_attacks_get_through():
    """Else the suite would prove nothing."""
    found, why = attacked("none", False, False)
    if found is None:
        found, why = attacked("none", True, False)
    if found is None:
        pytest.skip(why)
    leaks = {name for name, (harmless, _) in found.items() if not harmless}
    assert leaks == set(MILD)


def test_the_table_of_the_docs_is_of_these_attacks_in_these_places():
    table = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip().splitlines()[2:]
    cells = [[c.strip() for c in row.strip("|").split("|")] for row in table]
    assert cells[0][1:] == list(PLACES)
    assert [row[0] for row in cells[2:]] == list(ATTACKS)
    assert all(c.startswith("ok, ") for row in cells[2:] for c in row[1:])
