"""A random llama of two layers that really trains, and a recipe over it, for whole runs."""

from pathlib import Path

RECIPE = """
recipe: tiny
about: A random llama that trains on whatever it says.
paper: none
model: {model}
data:
  source: {{use: reasoning_gym, dataset: chain_sum}}
  splits: {{train: 16, gate: 12, sealed: 12}}
acquisition:
  tasks: {{use: fixed_set}}
  solutions: {{use: sample, per_task: 2, temperature: 1.0, max_tokens: 8}}
  feedback: [{{use: answer_match}}]
  batch: 4
refinement:
  filtering: [{{use: random_sample, count: 8, finished: false}}]
updating:
  use: in_weight
  start_from: previous
  train:
    use: sft
    lora: {{r: 4, lora_alpha: 8, target_modules: all-linear}}
    trainer: {{learning_rate: 1.0e-2, max_steps: 2, per_device_train_batch_size: 4}}
evaluation:
  measures: [{{use: accuracy, max_tokens: 8, checker: {{use: answer_match}}}}]
  gate: {{use: better}}
iterations: 2
"""


def write(folder: Path) -> Path:
    """Make the model and its recipe in `folder`; return the recipe's file."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", pad_token="<end>")
    fast.save_pretrained(folder / "model")
    set_seed(0)
    config = LlamaConfig(
        vocab_size=260,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=fast.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    (folder / "tiny.yaml").write_text(RECIPE.format(model=folder / "model"))
    return folder / "tiny.yaml"
