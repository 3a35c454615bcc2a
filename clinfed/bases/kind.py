"""Which kind of model a base is: an encoder reads a note from both sides, a decoder writes on from its left."""

from typing import TYPE_CHECKING

from clinfed.bases.base import Base
from clinfed.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

ENCODER, DECODER = "encoder", "decoder"


def kind_of(base: Base) -> str:
    """Return "encoder" or "decoder", from the base's config: the one of its settings, else of its files.

    A family that transformers also knows as a masked language model (BERT, say) is an encoder.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    family = type(_config(base))
    return DECODER if family in MODEL_FOR_CAUSAL_LM_MAPPING and family not in MODEL_FOR_MASKED_LM_MAPPING else ENCODER


def refuse_other_kind(base: Base, wanted: str, task: str) -> None:
    """Raise UserError unless the base is of the kind that a task asks for."""
    if (found := kind_of(base)) != wanted:
        raise UserError(
            f"task={task}: asks for {_named(wanted)} base, and base={base.name} is {_named(found)}; choose another "
            "base or another task"
        )


def _config(base: Base) -> "PretrainedConfig":
    from clinfed.bases.load import folder_config, model_config

    return model_config(base) if base.config else folder_config(base)


def _named(kind: str) -> str:
    return f"an {kind}" if kind == ENCODER else f"a {kind}"
