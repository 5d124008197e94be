import pickle
import random
from dataclasses import replace
from pathlib import Path

import pytest

from instar.errors import ComponentError
from instar.testing.checks import check_values
from instar.types import Learner
from instar.updating.in_weight.sft import Sft
from instar.updating.in_weight.updater import InWeight

LORA = {"r": 4, "lora_alpha": 8}


def test_the_new_learner_names_its_parent_and_keeps_memory_and_prompt(context, rows, fast):
    current = replace(context.learner, memory="m", prompt="Be brief.")
    updater = InWeight("base", Sft(lora=LORA, trainer=fast))
    made = updater.update(rows, replace(context, learner=current))
    assert made.parents == (current.id,)
    assert (made.memory, made.prompt, made.base) == ("m", "Be brief.", current.base)
    assert made.adapter is not None
    assert context.artefacts.path(made.adapter).is_dir()
    assert not list(context.scratch.glob("adapter-*"))


def test_without_rows_the_current_learner_stays(context, fast):
    current = replace(context.learner, adapter="some")
    for start in ("base", "previous"):
        updater = InWeight(start, Sft(trainer=fast))
        assert updater.update((), replace(context, learner=current)) == current


def test_equal_rows_and_seed_give_an_equal_adapter_whatever_else_happened(
    context, rows, fast, tmp_path
):
    import torch

    updater = InWeight("base", Sft(lora=LORA, trainer=fast))
    first = updater.update(rows, context)
    torch.manual_seed(99)
    random.seed(99)
    elsewhere = replace(context, scratch=tmp_path / "elsewhere")
    again = pickle.loads(pickle.dumps(updater)).update(rows, elsewhere)
    assert again == first
    other = updater.update(rows, replace(context, seed=1))
    assert other.adapter != first.adapter


def test_from_the_base_the_current_adapter_does_not_count(context, rows, fast):
    updater = InWeight("base", Sft(lora=LORA, trainer=fast))
    first = updater.update(rows, context)
    second = updater.update(rows, replace(context, learner=first))
    assert second.adapter == first.adapter


def test_from_the_previous_training_goes_on_and_the_old_learner_stays_whole(
    context, rows, fast, files
):
    from safetensors.torch import load_file

    first = InWeight("base", Sft(lora=LORA, trainer=fast)).update(rows, context)
    folder = context.artefacts.path(first.adapter)
    before = files(folder)
    slow = fast | {"learning_rate": 1e-6}
    nearly = InWeight("previous", Sft(lora=LORA, trainer=slow))
    second = nearly.update(rows, replace(context, learner=first))
    assert files(folder) == before
    assert second.adapter != first.adapter
    old = load_file(folder / "adapter_model.safetensors")
    new = load_file(context.artefacts.path(second.adapter) / "adapter_model.safetensors")
    assert old.keys() == new.keys()
    assert max(float((new[n] - old[n]).abs().max()) for n in old) < 1e-5


def test_an_adapter_of_another_shape_cannot_be_gone_on_from(context, rows, fast):
    first = InWeight("base", Sft(lora=LORA, trainer=fast)).update(rows, context)
    other = InWeight("previous", Sft(lora={"r": 8, "lora_alpha": 8}, trainer=fast))
    with pytest.raises(ComponentError, match=r"adapter has r 4, the recipe asks for 8"):
        other.update(rows, replace(context, learner=first))


def test_a_start_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="start_from is 'best'"):
        InWeight("best", Sft())


def test_the_component_is_a_value():
    check_values(InWeight("base", Sft(lora=LORA, trainer={"max_steps": 1})))


def test_the_adapter_is_known_by_its_content_and_the_users_name_for_the_model(
    context, rows, fast, tiny, monkeypatch, tmp_path
):
    # Two places of one model, both called by one relative name: the adapter must not know them.
    import shutil

    made = []
    for place in ("here", "there"):
        shutil.copytree(tiny, tmp_path / place / "model")
        monkeypatch.chdir(tmp_path / place)
        base = Learner(base="model")
        updater = InWeight("base", Sft(lora=LORA, trainer=fast))
        made.append(updater.update(rows, replace(context, base=base, learner=base)))
    assert made[0] == made[1]
    folder = context.artefacts.path(made[0].adapter)
    assert {p.name for p in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    text = Path(folder / "adapter_config.json").read_text()
    assert '"base_model_name_or_path": "model"' in text
    assert str(tmp_path) not in text
