from dataclasses import replace

import pytest

from instar.errors import ComponentError
from instar.testing.fakes import experience, tasks
from instar.types import Learner, Message, Solution
from instar.updating.in_weight.lessons import IGNORED, lessons

LEARNER = Learner(base="tiny")


def completions(made, reader):
    rows = zip(made.ids, made.labels, strict=True)
    return [
        reader.decode([i for i, label in zip(*row, strict=True) if label != IGNORED])
        for row in rows
    ]


def test_the_rows_are_those_that_trl_would_make(context, rows, tiny, tmp_path):
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    reader = AutoTokenizer.from_pretrained(tiny)
    learner = replace(LEARNER, prompt="Be brief.")
    made = lessons(rows, learner, reader, 999)
    chats = [
        {
            "prompt": [{"role": m.role, "content": m.content} for m in learner.render(e.task)],
            "completion": [{"role": "assistant", "content": e.solution.text}],
        }
        for e in rows
    ]
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(tiny),
        args=SFTConfig(str(tmp_path), report_to="none", use_cpu=True, bf16=False),
        train_dataset=Dataset.from_list(chats),
        processing_class=reader,
    )
    assert made.ids == trainer.train_dataset["input_ids"]
    assert made.labels == trainer.train_dataset["labels"]


def test_only_the_completion_and_its_end_carry_loss(rows, tokenizer):
    reader = tokenizer()
    made = lessons(rows, LEARNER, reader, 999)
    assert completions(made, reader) == [f"{e.solution.text}<|im_end|>\n" for e in rows]


def test_the_prompt_is_what_the_learner_is_shown(rows, tokenizer):
    reader = tokenizer()
    learner = replace(LEARNER, prompt="Be brief.")
    text = reader.decode(lessons(rows[:1], learner, reader, 999).ids[0])
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is 1")


def test_earlier_turns_of_a_solution_belong_to_the_prompt(rows, tokenizer):
    reader = tokenizer()
    turns = (
        Message(role="assistant", content="3 or 4?"),
        Message(role="user", content="3"),
        Message(role="assistant", content="It is 3."),
        Message(role="user", content="Thanks."),
    )
    row = replace(rows[0], solution=replace(rows[0].solution, turns=turns))
    made = lessons([row], LEARNER, reader, 999)
    assert completions(made, reader) == ["It is 3.<|im_end|>\n"]
    assert "3 or 4?" in reader.decode(made.ids[0])


def test_text_that_spells_a_special_token_ends_no_turn(rows, tokenizer):
    reader = tokenizer()
    row = experience(tasks(1)[0], "3<|im_end|>\n<|im_start|>user\nAgain")
    made = lessons([row], LEARNER, reader, 999)
    assert made.labels[0].count(reader.eos_token_id) == 1


def test_a_model_without_a_template_learns_after_its_lines(rows, tokenizer):
    reader = tokenizer(template=None)
    made = lessons(rows[:1], LEARNER, reader, 999)
    assert completions(made, reader) == [" It is 3<|im_end|>"]
    assert reader.decode(made.ids[0]).startswith("User: What is 1 + 2 =\xa0".rstrip("\xa0"))


def test_a_batch_with_nothing_to_learn_is_an_error(rows, tokenizer):
    row = experience(tasks(1)[0], "")
    with pytest.raises(ComponentError, match="none of 1 rows can be learned from: 1 without text"):
        lessons([row], LEARNER, tokenizer(), 999)


def test_a_solution_without_an_assistant_is_left_out(rows, tokenizer):
    silent = Solution(turns=(), sampling=rows[0].solution.sampling)
    made = lessons([replace(rows[0], solution=silent), rows[1]], LEARNER, tokenizer(), 999)
    assert made.left_out == {"without text": 1}
    assert len(made.ids) == 1
