"""Task: the plug-in class of `task=NAME`. A task owns its whole road, from a note to a count.

    examples = task.encode(notes, tokenizer, codes, window=256, stride=64)  # text -> numbers, cached by the clinic
    batch = task.collate(examples.rows, [0, 1], pad_id=0)  # numbers -> tensors
    task.loss(model, batch).backward()  # one step of the one training loop
    found = task.decode(examples.notes, examples.rows, outputs, codes)  # what the model says -> predictions
    counts = task.count({"all": notes}, predictions)  # predictions -> counts that can be added up

The loop, the cache, the messages and the record know these words only. To add a task, write a module in this folder, or
in a folder below it, with one subclass; the option's name is the module's name unless the class says `name = "..."`.
This one changes the loss of another task, and then goes the whole road:

    >>> import torch
    >>> from types import SimpleNamespace
    >>> from torch.nn.functional import binary_cross_entropy_with_logits
    >>> from clinfed.tasks.document import Document
    >>> class Careful(Document):
    ...     '''Codes of whole notes; a missed code costs three times as much as a false one.'''
    ...     def loss(self, model, batch):
    ...         logits_BC = model.head(self.vectors(model, batch))
    ...         weight = torch.tensor(3.0)
    ...         return binary_cross_entropy_with_logits(logits_BC, batch.targets, pos_weight=weight)
    >>> class Letters:  # a tokenizer: each letter is a sub-word
    ...     cls_token_id, sep_token_id = 1, 2
    ...     def __call__(self, texts, **options):
    ...         return {"input_ids": [[ord(letter) for letter in text] for text in texts]}
    >>> class Embedding(torch.nn.Embedding):  # an encoder: each sub-word has its vector
    ...     def forward(self, input_ids, attention_mask):
    ...         return SimpleNamespace(last_hidden_state=super().forward(input_ids))
    >>> task, codes = Careful(hidden=0), ["E11.9", "I10"]
    >>> notes = [Note("n1", "HTA", (Span(((0, 3),), "I10"),)), Note("n2", "bien")]
    >>> examples = task.encode(notes, Letters(), codes, window=8, stride=2)
    >>> batch = task.collate(examples.rows, [0, 1], pad_id=0)
    >>> batch.input_ids.shape, batch.targets.tolist()
    (torch.Size([2, 8]), [[0.0, 1.0], [0.0, 0.0]])
    >>> model = SimpleNamespace(encoder=Embedding(256, 4), head=task.head(4, len(codes)))
    >>> task.loss(model, batch).backward()
    >>> with torch.no_grad():
    ...     outputs = task.outputs(model, batch)
    >>> len(task.decode(examples.notes, examples.rows, [([0, 1], outputs)], codes))  # a prediction for each note
    2
    >>> predicted = {"n1": {"I10": 0.9}, "n2": {"E11.9": 0.4}}  # a hit and a false positive
    >>> round(task.count({"all": notes}, predicted)["all"].score, 3)
    0.667

A local tensor's name ends with its axes, a letter each, as in `logits_BC`: B windows of a batch (or notes, where one
vector stands for a note), W windows of B notes, T tokens, N words or other chosen tokens, I words inside a mention,
M mentions, H hidden units, L labels, C codes, V vocabulary, R rank, K clinics.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from clinfed.corpus.note import Note, Span
from clinfed.evaluation.base import EvaluationCounts
from clinfed.evaluation.counts import SpanCounts

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clinfed.evaluation.small_cells import Rule

Row = dict[str, Any]  # plain numbers; what they are is the task's affair
Gazetteer = Callable[[Note], Sequence[Span]]  # what a lexicon finds in a note: its gazetteer features

LENGTH_STEP = 8  # sub-words: the CPU's kernels keep about 20 MB for each length that they have seen


def no_feature(_note: Note) -> Sequence[Span]:
    """Return nothing: there is no lexicon."""
    return ()


@dataclass(frozen=True)
class Examples:
    """Notes as numbers. Each row is one example of the loop, and has at least `note` (a row of notes) and `input_ids`.

    unrepresentable: gold that the task cannot represent, counted by reason.
    """

    notes: list[Row] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    unrepresentable: Counter[str] = field(default_factory=Counter)


def padded_length(longest: int) -> int:
    """Return the length to which a batch is padded: a multiple of LENGTH_STEP."""
    return -(-longest // LENGTH_STEP) * LENGTH_STEP


class Model(Protocol):
    """An encoder (with its adapter) and a head."""

    encoder: "nn.Module"
    head: "nn.Module"

    def hidden(self, input_ids: "Tensor", attention_mask: "Tensor", chosen: "Tensor") -> "Tensor":
        """Return the encoder's output at the chosen positions. Shapes: (B, T) each; returns (N, H)."""


@dataclass(frozen=True)
class Batch:
    """What one step sees. rows: which examples these are. Shapes: attention_mask (B, T) int64, 0 where padded."""

    rows: list[int]
    attention_mask: "Tensor"

    def to(self, device: str) -> Self:
        """Return the batch with its tensors on a device."""
        tensors = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "rows"}
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})


@dataclass(frozen=True)
class Task:
    """What is trained on top of a base. Tensors come and go only in functions: options are found without torch."""

    # Class attributes, not settings: a subclass that has such a setting declares it as a field.
    name = ""  # the option's name where the module's is another
    base_kind = "encoder"  # which base it asks for: "encoder" or "decoder"
    # A run is refused where no training note of any clinic holds a mention to learn from; one such clinic is warned of.
    needs_mentions = True
    has_spans = False  # predictions are mentions, so that a lexicon can stand beside them
    gold_names: ClassVar[Sequence[str]] = ("all",)  # of what `golds` returns
    counts: ClassVar[type[EvaluationCounts]] = SpanCounts  # the kind that `count` returns
    pools = False  # the head needs one vector an example, so that a frozen encoder reads each only once
    head_of_base = False  # the base's own vocabulary layer is the head, frozen; `head` is not asked for
    lexicon = False  # what each clinic's private lexicon finds is an input of the head

    @property
    def option(self) -> str:
        """Return what follows `task=`."""
        return self.name or type(self).__module__.rpartition(".")[2]

    @property
    def encoding(self) -> str:
        """Return what tells this task's examples from those of others: a part of the cache's key."""
        return repr(self)

    @abstractmethod
    def encode(
        self,
        notes: Iterable[Note],
        tokenizer: Any,
        codes: Sequence[str],
        *,
        window: int,
        stride: int,
        feature: Gazetteer = no_feature,
    ) -> Examples:
        """Return the notes as examples, in the order given.

        codes: the run's shared list, in the order of label numbers.
        window: sub-words that the encoder reads at once, special tokens included; stride: what neighbours share.
        """
        raise NotImplementedError

    @abstractmethod
    def collate(self, rows: Sequence[Row], chosen: Sequence[int], pad_id: int) -> Batch:
        """Return the chosen examples as one batch."""
        raise NotImplementedError

    @abstractmethod
    def head(self, hidden_size: int, num_codes: int) -> "nn.Module":
        """Return a new head; its parameters are trained fully and travel with the adapter."""
        raise NotImplementedError

    @abstractmethod
    def loss(self, model: Model, batch: Batch) -> "Tensor":
        """Return the mean loss of a batch, in nats. Shapes: returns ()."""
        raise NotImplementedError

    def vectors(self, model: Model, batch: Batch) -> "Tensor":
        """Return all that the head needs of the encoder, where the task `pools`. Shapes: returns (B, H) float32.

        Of a frozen encoder they are kept: `collate` then finds them in the rows, as `vector`.
        """
        raise NotImplementedError

    def held_rows(self, rows: Sequence[Row], names: Iterable[str]) -> "dict[str, Tensor]":
        """Return which rows of the head's parameters the examples train, for those that have a row a label.

        names: within the head. Shapes: returns (R,) int64 each, indices.
        """
        return {}

    def label_rows(self, name: str, codes: "Tensor") -> "Tensor | None":
        """Return which rows of a parameter of the head belong to these codes; None where it has no row a label.

        name: within the head. Shapes: codes (C,) int64, numbers in the shared list; returns (R,) int64.
        """
        return None

    def without_codes(self, rows: Sequence[Row], rare: Collection[int], num_codes: int) -> list[Row]:
        """Return the examples without these codes: what else their mentions teach stays, as far as the head has it.

        rare: numbers of codes in the shared list, which has num_codes.
        """
        return list(rows)

    @abstractmethod
    def outputs(self, model: Model, batch: Batch) -> Any:
        """Return what the model says of a batch, as plain values; called without gradients."""
        raise NotImplementedError

    @abstractmethod
    def decode(
        self,
        notes: Sequence[Row],
        rows: Sequence[Row],
        outputs: Iterable[tuple[Sequence[int], Any]],
        codes: Sequence[str],
    ) -> list[Any]:
        """Return each note's prediction. outputs: of each batch, the examples in it and what `outputs` returned."""
        raise NotImplementedError

    def golds(self, notes: Sequence[Note], codes: Sequence[str]) -> dict[str, Sequence[Note]]:
        """Return the notes with each gold that the test is counted against, by name; "all" is every annotation."""
        return {"all": notes}

    @abstractmethod
    def count(
        self,
        golds: Mapping[str, Sequence[Note]],
        predicted: Mapping[str, Any],
        *,
        replicates: int = 0,
        seed: int = 0,
        clinic: str = "",
        rule: "Rule | None" = None,
    ) -> Mapping[str, EvaluationCounts]:
        """Return the counts of predictions (by note id) against each gold.

        replicates, seed, clinic: of the bootstrap. rule: what a real site may name; None at a simulated clinic.
        Apply it here: nothing else will.
        """
        raise NotImplementedError
