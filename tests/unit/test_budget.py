import pytest

from instar.budget import Budget, parse
from instar.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5400), (" 0.5H ", 1800)]
)
def test_times_are_read(text, seconds):
    assert parse(text) == Budget(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "tokens"), [("200k-tokens", 200_000), ("2m-tokens", 2_000_000), ("512tokens", 512)]
)
def test_token_counts_are_read(text, tokens):
    assert parse(text) == Budget(tokens=tokens)


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 apples", "-5m", "5m-tokens-x", "0s", "0h0m", "0k-tokens"]
)
def test_anything_else_is_refused_with_examples(text):
    with pytest.raises(UsageError, match="expected a time like 5m"):
        parse(text)


def test_a_budget_limits_only_what_it_names():
    assert Budget(seconds=10).allows(10, 10**9)
    assert not Budget(seconds=10).allows(10.1, 0)
    assert Budget(tokens=10).allows(10**9, 10)
    assert not Budget(tokens=10).allows(0, 11)
