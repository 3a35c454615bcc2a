"""A run's adapter as others may have it: a folder with card and audit file, without local paths."""

import json
import shutil
from pathlib import Path

from clinfed.adapters import folder as folders
from clinfed.adapters import hashes
from clinfed.adapters.card import Card
from clinfed.disk import whole
from clinfed.experiments.adapted import Adapted
from clinfed.runs import publication
from configs import Run
from configs.portable import portable, unpacked


def publish(adapted: Adapted, folder: Path, *, license_: str = "", where: str = "") -> None:
    """Write adapter, head, label map, settings, card and audit file into a new folder."""
    assert adapted.record is not None, "only a run can be published"
    run = unpacked(adapted.settings)  # without --base: others look for the base where the run had it from
    with whole(folder):
        for name in folders.LOADED:
            if (adapted.folder / name).is_file():
                shutil.copyfile(adapted.folder / name, folder / name)
        folders.save_settings(folder, portable(run), adapted.fingerprints)
        folders.write_card(folder, card_of(adapted, run, license_, where), adapted.state, num_codes=len(adapted.codes))
        audit = publication.audit(adapted.record) | {hashes.KEY: hashes.of_files(folder)}
        (folder / folders.AUDIT).write_text(json.dumps(audit, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def card_of(adapted: Adapted, run: Run, license_: str, where: str) -> Card:
    """Return what the card says of a run."""
    record = adapted.record
    assert record is not None, "only a run can be published"
    return Card(
        base=run.base.public_name,
        base_revision=run.base.revision,
        method=record["config"]["options"]["adapter"],
        task=record["config"]["options"]["task"],
        license=license_ or run.base.license,
        results=publication.card_sections(record),
        languages=publication.languages(record),
        base_sha256=adapted.fingerprints["base"],
        where=where or whereabouts(run),
    )


def whereabouts(run: Run) -> str:
    """Return where others find the base."""
    if run.base.is_hub:
        return f"https://huggingface.co/{run.base.path}"
    if run.options["base"] == "tiny":
        return "folder clinfed_tiny of clinfed"
    return "not public; ask whoever gave you this folder, and compare the fingerprint"
