"""Settings that chance has broken: a run, or one line that says which setting is wrong; nothing else."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinfed.cli import main
from clinfed.errors import UserError
from configs import Run, load, refuse_at_site, refuse_relative_paths

GROUPS = ("corpus", "base", "adapter", "task", "strategy", "partition", "training", "experiment")
KEYS = st.sampled_from(
    [
        *("rounds", "seed", "clinics", "output", "resume", "hydra.run.dir", "_target_", "__class__", *GROUPS),
        *("training.learning_rate", "training.local_epochs", "training.batch_notes", "training.window"),
        *("training.schedule", "training.warmup", "training.device", "training.stride", "adapter.r", "adapter.alpha"),
        *("corpus.path", "corpus.labels", "corpus.skip_bad", "corpus._target_", "base.path", "base.config", "task.x"),
        *("strategy.proximal_mu", "partition.alpha", "central.notes", "only.share", "only.clinic", "training.x.y"),
    ]
) | st.text(max_size=12)
VALUES = st.sampled_from(
    [
        *("", "0", "-1", "1e400", "nan", "inf", "true", "null", "None", "???", "[]", "{}", "[1,2", "{a:1}", "'", '"'),
        *("${oc.env:HOME}", "${now:%Y}", "../../etc/passwd", "/nonexistent", "~", "1_0", "0x10", "9" * 400, "a=b"),
        *("lora", "fedadam", "jsonl", "default", "os.system", "!!python/object:os.system", "\x00", "a\nb", "ñ·l"),
    ]
) | st.text(max_size=20)
OVERRIDES = st.lists(st.tuples(KEYS, VALUES).map("=".join) | st.text(max_size=15), min_size=1, max_size=3)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(overrides=OVERRIDES)
def test_broken_settings_are_refused_in_one_line(overrides: list[str]) -> None:
    try:
        refuse_relative_paths(overrides)
        refuse_at_site(overrides)
        assert isinstance(load(overrides), Run)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(overrides=OVERRIDES)
def test_the_command_line_ends_with_a_code_and_no_traceback(
    capsys: pytest.CaptureFixture[str], overrides: list[str]
) -> None:
    plain = [each for each in overrides if not each.startswith("-")]
    code = main(["config", *plain])
    printed = capsys.readouterr()
    assert code in (0, 2)
    assert "Traceback" not in printed.err
    assert code == 0 or printed.err.count("\n") == 1
