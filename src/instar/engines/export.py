"""A learner as a folder that plain transformers and PEFT load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from instar import models
from instar.errors import UsageError
from instar.protocols import Artefacts
from instar.types import Learner


def export(learner: Learner, artefacts: Artefacts, to: Path, merged: bool) -> None:
    """Write `learner` to the folder `to`: its adapter, or with `merged` the whole model.

    Raises:
        UsageError: if `to` holds something already, or there is no adapter to write.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} is not empty; export needs a folder of its own")
    if learner.base.startswith(models.ENDPOINT):
        raise UsageError(
            f"{learner.base} is an endpoint: there are no weights to export; "
            "what the run changed is shown by `instar show`"
        )
    folder = artefacts.path(learner.adapter) if learner.adapter else None
    if merged:
        # Imported here: it needs torch.
        from instar.engines.adapters import Weights

        model, tokenizer = models.load(learner.base)
        Weights(model).switch(learner.adapter, folder)
        model.save_pretrained(to)
        tokenizer.save_pretrained(to)
        return
    if folder is None:
        raise UsageError(f"learner {learner.id} is the base and has no adapter; use --merged")
    shutil.copytree(folder, to, dirs_exist_ok=True)
    path = to / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    # The ledger's copy names the base as the user did; PEFT needs where it lies here.
    config["base_model_name_or_path"] = models.resolve(learner.base)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
