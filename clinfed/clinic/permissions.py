"""What a site lets a run do: its own code list first, then its limits; both are asked before a note is opened."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from clinfed import fingerprints
from clinfed.clinic.site import PARTITION, NodeConfig, Site, of_node
from clinfed.protocol import Failure
from clinfed.refusals import RefusedError

if TYPE_CHECKING:  # the process that only passes a message on asks for the code list alone, and must start fast
    from configs import Run

DEFAULT_EXPERIMENT = "default"  # what allowed_experiments calls a run without one
# What a coordinator may add to an allowed experiment: it changes nothing of what the site does.
FREE = ("backend", "clinics", "corpus", "experiment", "output", "partition", "resume", "seed")


def admit_code(node_config: NodeConfig) -> None:
    """Raise RefusedError unless the site allows the code that this process runs; a simulated node allows all."""
    if PARTITION not in node_config:
        refuse_unknown_code(of_node(node_config), fingerprints.code())


def admit_run(site: Site, overrides: Sequence[str], run: "Run") -> None:
    """Raise RefusedError for the first thing that the run asks beyond the site's settings."""
    from configs import refuse_at_site

    refuse_unknown_code(site, fingerprints.code())  # a worker that lives on sees a shorter list, too
    refuse_at_site(overrides)
    for check in CHECKS:
        check(site, overrides, run)


def said(error: Exception, failure: Failure) -> tuple[int, str]:
    """Return what may be told of an error: a refusal's code and setting, else the step that failed and the class.

    The line of a refusal is printed here: it holds settings and overrides only, and its reader is this site's engineer.
    """
    if isinstance(error, RefusedError):
        print(f"clinfed | refused: {error}", file=sys.stderr, flush=True)
        return int(Failure.REFUSED), error.setting
    return int(failure), type(error).__name__


def refuse_unknown_code(site: Site, found: str) -> None:
    """Raise RefusedError unless the fingerprint is on the site's list, or the site has none."""
    if site.allowed_code is not None and found not in site.allowed_code:
        count = len(site.allowed_code)
        raise RefusedError(
            "allowed_code",
            f"{site.where}: the run's code has the fingerprint {found}, which is none of the {count} in allowed_code; "
            f'no note was opened; once you have read that code, write allowed_code = ["{found}"]',
        )


def _experiment(site: Site, overrides: Sequence[str], run: "Run") -> None:
    from configs.overrides import parse

    allowed = site.allowed_experiments
    if allowed is None:
        return
    name = run.experiment or DEFAULT_EXPERIMENT
    if name not in allowed:
        _refuse(site, "allowed_experiments", f"the experiment {name}, allowed: {', '.join(allowed) or 'none'}")
    beyond = [key for key in parse(overrides) if key.split(".")[0] not in (*FREE, "central")]
    if beyond:
        _refuse(site, "allowed_experiments", f"{beyond[0]} beyond the experiment {name}")


def _rank(site: Site, _overrides: Sequence[str], run: "Run") -> None:
    from clinfed.adapters.base import PeftAdapter

    if not site.rank_cap:
        return
    if not isinstance(run.adapter, PeftAdapter):
        _refuse(
            site, "rank_cap", f"adapter={run.options.get('adapter')}, which has no rank, the cap is {site.rank_cap}"
        )
    rank = getattr(run.adapter, "r", 0)
    if rank > site.rank_cap:
        _refuse(site, "rank_cap", f"adapter.r={rank}, the cap is {site.rank_cap}")


def _quantisation(site: Site, _overrides: Sequence[str], run: "Run") -> None:
    asked = "none" if run.adapter.quantization() is None else "nf4"
    if site.quantisation not in ("any", asked):
        _refuse(site, "quantisation", f"a base in {asked}, the site's is {site.quantisation}")


def _batch(site: Site, _overrides: Sequence[str], run: "Run") -> None:
    """Refuse a batch of more windows, or one that takes the memory of more windows of the usual length."""
    from clinfed.training.settings import Training

    asked, window = run.training, Training().window
    if not site.batch_notes:
        return
    # A batch holds one window at least, however few its tokens.
    tokens = max(asked.batch_tokens, asked.window) if asked.batch_tokens else asked.batch_notes * asked.window
    if not asked.batch_tokens and asked.batch_notes > site.batch_notes:
        _refuse(site, "batch_notes", f"training.batch_notes={asked.batch_notes}, the cap is {site.batch_notes}")
    if tokens > site.batch_notes * window:
        cap = f"the cap is {site.batch_notes} windows of {window}"
        _refuse(site, "batch_notes", f"batches of {tokens} sub-words, {cap}")


def _device(site: Site, overrides: Sequence[str], _run: "Run") -> None:
    from configs.overrides import parse

    asked = parse(overrides).get("training.device", "")
    if site.device and asked and asked != site.device:
        _refuse(site, "device", f"training.device={asked}, the site's is {site.device}")


def _embeddings(site: Site, _: Sequence[str], run: "Run") -> None:
    """Refuse full training; what a run names in adapter.target_modules is looked at once the base is loaded."""
    if site.policy and not site.policy.embeddings and run.options.get("adapter") == "full":
        _refuse(site, "embeddings", "adapter=full, which trains the embeddings")


def _refuse(site: Site, setting: str, asked: str) -> None:
    raise RefusedError(setting, f"{site.where}: {setting}: the run asks for {asked}; nothing was read or trained")


CHECKS: tuple[Callable[[Site, Sequence[str], "Run"], None], ...] = (
    _experiment,
    _rank,
    _quantisation,
    _batch,
    _device,
    _embeddings,
)
