"""Loading a base: the encoder in float32 or NF4, its tokenizer, or only its shapes."""

import contextlib
import inspect
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinfed.bases.base import Base
from clinfed.bases.quantized import quiet_bitsandbytes, steady
from clinfed.errors import UserError

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# What must agree between a config file and the weights that it describes; the rest only tunes behaviour.
SIZES = ("hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size")


def load_encoder(base: Base, *, quantization: "BitsAndBytesConfig | None" = None, device: str = "cpu") -> Any:
    """Return the encoder without a pooler, in evaluation mode, frozen, float32 where it is not quantised.

    Raises: UserError when files are missing, do not fit base.config, or lack some of the encoder's weights.
    """
    quiet_bitsandbytes()
    if base.random_init:
        return _random_encoder(base, quantization, device)
    folder = base.folder()
    if not any(folder.glob("model*.safetensors")):
        raise UserError(
            f"base={base.name}: no model.safetensors beside config.json; pickled weights (.bin) are never loaded: "
            "convert them to safetensors, or choose a revision that has them"
        )
    return _from_folder(folder, base, quantization, device)


def load_tokenizer(base: Base) -> "PreTrainedTokenizerBase":
    """Return the base's fast tokenizer: character ranges of sub-words come only from a fast one."""
    from transformers import AutoTokenizer

    folder = base.folder()
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                folder, use_fast=True, add_prefix_space=True, trust_remote_code=False, local_files_only=True
            )
    except (OSError, ValueError, ImportError) as error:
        raise UserError(
            f"base={base.name}: its tokenizer cannot be loaded ({type(error).__name__}); expected a tokenizer.json "
            "beside config.json: save one with AutoTokenizer, where there is a network, and copy it"
        ) from None
    if not tokenizer.is_fast:
        raise UserError(
            f"base={base.name}: its tokenizer gives no character ranges; a fast one (tokenizer.json) is needed"
        )
    return tokenizer


def meta_encoder(base: Base) -> Any:
    """Return the encoder with shapes but without numbers, on the meta device; no network, no weights read."""
    import torch

    quiet_bitsandbytes()  # transformers imports it with the first model
    with torch.device("meta"):
        return _frozen(_from_config(model_config(base)), "cpu")


def model_config(base: Base) -> "PretrainedConfig":
    """Return the architecture, from base.config where it is given, else from the base's own config.json."""
    from transformers import AutoConfig

    if not base.config:
        if base.is_hub:
            raise UserError(
                f"base={base.name}: base.config is empty and counting never asks the hub; "
                "add model_type, layer sizes and vocab_size to its file in configs/base"
            )
        return folder_config(base)
    settings = dict(base.config)
    model_type = settings.pop("model_type", "")
    try:
        with quiet():
            return AutoConfig.for_model(model_type, **settings)
    except ValueError:
        raise UserError(
            f"base={base.name}: base.config.model_type is {model_type!r}, which transformers does not know"
        ) from None


def folder_config(base: Base) -> "PretrainedConfig":
    """Return the architecture that stands in the base's files, which a hub base may have to fetch first."""
    from transformers import AutoConfig

    with quiet():
        found: PretrainedConfig = AutoConfig.from_pretrained(
            base.folder(), trust_remote_code=False, local_files_only=True
        )
    return found


def _from_config(config: "PretrainedConfig") -> "PreTrainedModel":
    import torch
    from transformers import AutoModel

    with quiet():
        # The files' own dtype, often float16, stands in the config and would be taken otherwise.
        encoder: PreTrainedModel = AutoModel.from_config(config, dtype=torch.float32, **_no_pooler(config))
    return encoder


def _from_folder(folder: Path, base: Base, quantization: "BitsAndBytesConfig | None", device: str) -> Any:
    import torch
    from transformers import AutoConfig, AutoModel

    with quiet():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        _refuse_quantised(base, config)
        _check_sizes(base, config)
        encoder, loading = AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,  # stored float16 halves the files; training adds steps that float16 would round away
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            quantization_config=quantization,
            device_map={"": device} if quantization is not None else None,  # NF4 packs the weights where they will stay
            output_loading_info=True,
            **_no_pooler(config),
        )
    # transformers fills absent tensors with random numbers and only logs it.
    if loading["missing_keys"]:
        absent = sorted(loading["missing_keys"])
        raise UserError(
            f"base={base.name}: {len(absent)} tensors of the encoder are not in its safetensors (first: {absent[0]}); "
            "the files are not of this architecture"
        )
    if quantization is None:
        return _frozen(encoder, device).to(device)
    return _frozen(steady(encoder), device)


def _random_encoder(base: Base, quantization: "BitsAndBytesConfig | None", device: str) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(base.random_seed)
        encoder = _from_config(model_config(base))
    if quantization is None:
        return _frozen(encoder, device).to(device)
    with tempfile.TemporaryDirectory() as folder:  # NF4 is made only while loading from files
        with quiet():
            encoder.save_pretrained(folder)
        return _from_folder(Path(folder), base, quantization, device)


def _frozen(encoder: Any, device: str) -> Any:
    if device == "cpu":
        encoder.set_attn_implementation("eager")  # a training step takes a fifth less than with fused kernels
    return encoder.requires_grad_(False).eval()


def _no_pooler(config: "PretrainedConfig") -> dict[str, bool]:
    """Return the option that leaves the pooler out, for the families that have one."""
    from transformers import MODEL_MAPPING

    if type(config) not in MODEL_MAPPING:
        raise UserError(f"model_type={config.model_type}: transformers has no plain encoder of this family")
    family: Any = MODEL_MAPPING[type(config)]
    has_pooler = "add_pooling_layer" in inspect.signature(family.__init__).parameters
    return {"add_pooling_layer": False} if has_pooler else {}


def _refuse_quantised(base: Base, found: "PretrainedConfig") -> None:
    """Raise UserError for files in 4 or 8 bits: transformers would load them so whatever was asked for."""
    if getattr(found, "quantization_config", None):
        raise UserError(
            f"base={base.name}: its config.json has a quantization_config, expected weights in floating point; give "
            "the original files: adapter=qlora quantises the linear layers itself while loading, and never the head"
        )


def _check_sizes(base: Base, found: "PretrainedConfig") -> None:
    if not base.config:
        return
    expected = model_config(base)
    for size in SIZES:
        if getattr(expected, size, None) != getattr(found, size, None):
            raise UserError(
                f"base={base.name}: its files have {size}={getattr(found, size, None)}, base.config says "
                f"{getattr(expected, size, None)}; correct one of them, counts would be wrong"
            )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' load report and bars: what matters in them is checked and raised here."""
    from transformers.utils import logging

    verbosity: Any = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
