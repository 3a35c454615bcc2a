"""`clinfed forget`: remove from this machine what was made of notes, and say what cannot be taken back."""

import argparse
from pathlib import Path

from clinfed.errors import UserError
from clinfed.home import clinic_folder

REMAINS = """\
What stays:
  adapters that were sent, and all that was trained from them since: they cannot be taken back. Ask the coordinator
  to train anew without this site or patient.
  ledger.jsonl: hashes, counts and bytes of what left; it holds no note and no patient. The site's secret.
  what you have written yourself: notes, predictions, corrections, reports, runs, backups."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--patient", metavar="ID", help="a patient whose notes you have removed from the site's notes")
    what.add_argument("--clinic", metavar="NAME", help="a clinic that leaves; other clinics' states stay")
    parser.add_argument("--settings", type=Path, help="the site.toml whose notes are searched for the patient first")
    parser.epilog = (
        "Stop the SuperNode first. A cache holds all notes, so caches, error details, kept states and logs go as a "
        "whole; the next run makes them again from the notes as they are then."
    )


def run(args: argparse.Namespace) -> int:
    """Remove what was made of notes, and print what stays."""
    from clinfed.clinic.remanence import forget

    _refuse_while_in_use()
    if args.patient is not None:
        _refuse_present(args.patient, args.settings)
    removed = forget(args.clinic or "")
    print("removed: " + ", ".join(f"{count} of {name}" for name, count in removed.items()))
    print(REMAINS)
    return 0


def _refuse_present(patient: str, settings: Path | None) -> None:
    """Raise UserError where the notes still have the patient: the next run would encode them again."""
    if not patient:
        raise UserError("--patient: empty; give the id that the notes have")
    if settings is None:
        print("the notes were not searched for the patient; --settings site.toml does it")
        return
    from collections import Counter

    from clinfed.clinic import site
    from clinfed.clinic.data import site_corpus
    from configs import load

    found = site.read(settings.absolute())
    held = sum(note.unit == patient for note in site_corpus(found, load([]).corpus).notes(Counter()))
    if held:
        raise UserError(f"{found.notes}: {held} notes are still of this patient; remove them there first")


def _refuse_while_in_use() -> None:
    """Raise UserError while a worker of this account has notes in memory."""
    import psutil

    folder = clinic_folder("worker")
    for process in psutil.process_iter():
        try:
            working = "client.worker" in process.cmdline() and Path(process.cwd()) == folder
        except psutil.Error:  # gone, or another account's
            continue
        if working:
            raise UserError(f"process {process.pid} has notes in memory; stop the SuperNode first")
