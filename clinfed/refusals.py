"""What a site refuses by its own settings: the one exception for it, and what each side is told.

To the coordinator goes the setting's name only, out of the fixed list here; the reason stays at the site.
"""

from clinfed.errors import UserError

# setting of the site, or one of the rules that hold at every site -> what the coordinator can do about it
REMEDIES = {
    "settings": "they cannot be read; its engineer runs `clinfed check --settings site.toml` there",
    "allowed_code": "this code is not on its list; its engineer reads the code and adds {code} to allowed_code",
    "key": "its key cannot be used; its engineer runs `clinfed check --settings site.toml` there",
    "manifest": "the run has no manifest that its operator has signed, or is not what that says; start it with run.sh",
    "approval": "it waits for approval there; once its engineer has approved it, start it again with run.sh --manifest",
    "bundle": "the bundle holds more than clinfed's own code; start the run with the run.sh of an unchanged clinfed",
    "allowed_experiments": "run an experiment on its list without further overrides, or have its engineer add this one",
    "rank_cap": "lower adapter.r (adapter=full is above every cap), or have its engineer raise the cap",
    "quantisation": "only adapter=qlora holds the base in 4 bits; choose another adapter, or ask its engineer",
    "batch_notes": "lower training.batch_notes, batch_tokens or window, or have its engineer raise the cap",
    "device": "leave training.device out, because each site chooses its own; if its GPU is missing, its engineer "
    "runs `clinfed check --settings site.toml`",
    "corpus": "leave corpus.* out: a site reads its own notes",
    "ledger": "it answers each question of a run once, as its ledger says; start a new run, or ask its engineer",
    "embeddings": "leave adapter=full and embeddings in adapter.target_modules out, or have its engineer agree",
    "least_notes": "too few training notes stand behind its update; raise corpus.train_fraction, or leave it out",
    "least_patients": "too few patients stand behind its update; raise corpus.train_fraction, or leave it out",
    "least_steps": "a round makes too few steps there; lower training.batch_notes or rounds_per_epoch",
    "base": "leave base.path and base.revision out: name a base that each site has (docs/sites.md)",
}


class RefusedError(UserError):
    """The site does not do what a run asks. setting: the name in REMEDIES, all that leaves the site."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(message)
        self.setting = setting


def to_coordinator(setting: str, *, code: str) -> str:
    """Return what the coordinator is told of a refusal. code: the fingerprint of the code that runs here."""
    return f"the site's own settings refuse this run: {setting}; {REMEDIES[setting].format(code=code)}"
