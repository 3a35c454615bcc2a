"""clinfed publish RUN -o FOLDER: a run's adapter as others may have it, with card and audit file, without local paths.

    clinfed publish runs/20261121T114255-ca24befd -o diagnoses-es-ca

The folder is loaded by transformers and peft alone: its load.py and its card show how.
"""

import argparse
import json
import shutil
from pathlib import Path

from clinfed.adapters import folder as folders
from clinfed.adapters import hashes
from clinfed.adapters.card import Card
from clinfed.disk import whole
from clinfed.errors import UserError
from clinfed.experiments.adapted import Adapted, open_adapter
from clinfed.runs import publication
from configs import Run
from configs.portable import portable, unpacked


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder that is not there yet"
    )
    parser.add_argument("--license", default="", help="of the adapter, as the clinics agreed; by default the base's")
    parser.add_argument("--base", default="", metavar="FOLDER", help="the base's files, where they stand elsewhere")
    parser.add_argument("--base-at", default="", metavar="WORDS", help="where readers find the base, if not on the hub")


def run(args: argparse.Namespace) -> int:
    """Write the folder; raises UserError where the run is not whole or the folder is there already."""
    if args.output.exists():
        raise UserError(f"{args.output}: exists already; expected a new folder; name another, or remove it")
    adapted = open_adapter(args.run, base_path=args.base)
    if adapted.record is None:
        raise UserError(f"{args.run}: no record.json beside its adapter; expected the folder of a run; give that")
    publish(adapted, args.output, license_=args.license, where=args.base_at)
    for file in sorted(args.output.iterdir()):
        print(file)
    return 0


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
