import pytest

from instar import yaml
from instar.errors import RecipeError


def test_exponents_without_a_dot_are_numbers():
    assert yaml.parse("a: 1e-3\nb: -2E5\nc: 1.5e3", "here") == {"a": 0.001, "b": -2e5, "c": 1500.0}


def test_a_key_given_twice_is_an_error_that_names_the_line():
    with pytest.raises(RecipeError, match=r"here: .*line 3.*'a' is given twice"):
        yaml.parse("a: 1\nb: 2\na: 3", "here")


@pytest.mark.parametrize("text", ["a: [1", "\t- a", "a: !!python/object:os.system {}"])
def test_what_is_not_yaml_is_one_sentence(text):
    with pytest.raises(RecipeError, match="here: not YAML") as caught:
        yaml.parse(text, "here")
    assert "\n" not in str(caught.value)


def test_deep_nesting_is_an_error_not_a_crash():
    with pytest.raises(RecipeError):
        yaml.parse("[" * 100_000, "here")


def test_dump_and_parse_are_inverse():
    data = {"z": [1, 0.001, None, "é"], "a": {"b": True}}
    assert yaml.parse(yaml.dump(data), "here") == data


def test_a_file_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(RecipeError, match=r"r\.yaml: not UTF-8"):
        yaml.read(path)
