"""Writes a patient's notes: sentences by visit, mentions worded and placed, typing noise, character offsets."""

import re
from dataclasses import dataclass, field
from random import Random

from clinfed.corpus.note import Note, Span
from clinfed.corpus.synthetic.lexicon import Diagnosis, reading_cues
from clinfed.corpus.synthetic.noise import add_noise, fold
from clinfed.corpus.synthetic.patients import KINDS, Patient, Visit, acute_pool, whole_pool
from clinfed.corpus.synthetic.sentences import Template, fill_around, fill_plain, fill_text
from clinfed.corpus.synthetic.vocabulary import vocabulary
from clinfed.corpus.synthetic.wording import abbreviate, word_mention

HABIT_SHARE = 0.5  # of mentions copied from the patient's earlier notes, wording and all
PROBLEM_SHARE = 0.72  # of mentions that are about the patient's own problems; the rest are episodes
OTHER_LANGUAGE_SENTENCE = 0.04  # code-switching
OTHER_LANGUAGE_MENTION = 0.05
QUESTION_SHARE = 0.02  # of mentions followed by a question mark: suspected, and annotated
CUE_SHARE = 0.75  # of ambiguous abbreviations whose sense the next words tell
# Chance, per note, of a sentence whose diagnoses are not annotated: the stated rule (docs/datasheet.md).
UNANNOTATED = {"negated": 0.085, "family": 0.03, "prevention": 0.02}
RANK = {"subjective": 0, "narrative": 0, "family": 0, "nurse": 1, "admin": 0, "exam": 1, "vitals": 1, "labs": 1}
RANK |= {"negated": 1, "diagnosis": 2, "diagnoses": 2, "prevention": 3, "plan": 3, "drugs": 3}
JOINER_SHARE = 0.5  # of lists whose last member follows "and"; else a comma
IN_ORDER_SHARE = 0.85  # of notes that keep the SOAP order; headings stand in these only
LONG_LIST = 5  # most mentions in one list

IS_I = re.compile("h?i[^aeou]")
Piece = tuple[str, str]  # text, and the code where it is an annotated mention, else ""


@dataclass(slots=True)
class Sentence:
    """One sentence: its section's rank (S, O, A, P are 0 to 3) and its pieces."""

    rank: int
    pieces: list[Piece]

    @property
    def words(self) -> int:
        """Return the number of words between white space."""
        return len("".join(text for text, _ in self.pieces).split())


@dataclass(slots=True)
class Writer:
    """Writes one patient's notes; remembers how the patient's problems were worded.

    noised: number of noised words in the notes written so far.
    """

    patient: Patient
    rng: Random
    habits: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    noised: int = 0

    def write(self, visit: Visit) -> Note:
        """Return the note of a visit."""
        sentences = self._diagnosis_sentences(visit)
        sentences += self._unannotated_sentences(visit)
        sentences += self._plain_sentences(visit, sentences)
        self.rng.shuffle(sentences)
        in_order = self.rng.random() < IN_ORDER_SHARE
        if in_order:
            sentences.sort(key=lambda sentence: sentence.rank)
        with_headings = in_order and self.rng.random() < self.patient.clinic.heading_rate
        pieces = self._noise(self._join(sentences, with_headings=with_headings))
        text, spans = _assemble(pieces)
        if self.rng.random() < self.patient.clinic.capitals and len(text.upper()) == len(text):
            text = text.upper()
        return Note(visit.id, text, spans, visit.language, self.patient.id, self.patient.clinic.name)

    def _language(self, usual: str, switch_share: float) -> str:
        if self.rng.random() >= switch_share:
            return usual
        return "es" if usual == "ca" else "ca"

    def _diagnosis_sentences(self, visit: Visit) -> list[Sentence]:
        sentences, left = [], visit.mentions
        while left:
            size = min(left, self.rng.randint(2, LONG_LIST)) if left > 1 and self.rng.random() < 0.5 else 1
            chosen: dict[str, Diagnosis] = {}
            while len(chosen) < size:
                diagnosis = self._draw_diagnosis()
                chosen.setdefault(diagnosis.code, diagnosis)
            sentences.append(self._mention_sentence(visit.language, list(chosen.values())))
            left -= size
        return sentences

    def _draw_diagnosis(self) -> Diagnosis:
        patient = self.patient
        if self.rng.random() < PROBLEM_SHARE:
            problems = [diagnosis for diagnosis, _ in patient.problems]
            return self.rng.choices(problems, [weight for _, weight in patient.problems])[0]
        pool, cumulative = acute_pool(patient.clinic.name, patient.sex)
        return self.rng.choices(pool, cum_weights=cumulative)[0]

    def _mention_sentence(self, usual: str, chosen: list[Diagnosis]) -> Sentence:
        language = self._language(usual, OTHER_LANGUAGE_SENTENCE)
        section = "diagnosis" if len(chosen) == 1 else "diagnoses"
        pieces = self._list(chosen, language, annotated=True)
        return self._around(section, language, pieces, last_word={"es": " y ", "ca": " i "}[language])

    def _around(self, section: str, language: str, mentions: list[list[Piece]], *, last_word: str) -> Sentence:
        before, after = fill_around(self.rng, section, language)
        before = abbreviate(self.rng, before, language, self.patient.clinic)
        first = mentions[0][0][0]
        if language == "ca" and before.endswith("de ") and fold(first[0]) in "aeiouh" and self.rng.random() < 0.85:
            before = before[:-2] + "'"
        pieces: list[Piece] = [(before, "")]
        for place, mention in enumerate(mentions):
            if place:
                is_last = place == len(mentions) - 1
                joiner = last_word if is_last and self.rng.random() < JOINER_SHARE else ", "
                # Spanish "y" before the sound of i.
                pieces.append((" e " if joiner == " y " and IS_I.match(fold(mention[0][0])) else joiner, ""))
            pieces += mention
        pieces.append((after, ""))
        return Sentence(RANK[section], pieces)

    def _list(self, chosen: list[Diagnosis], language: str, *, annotated: bool) -> list[list[Piece]]:
        mentions = []
        for diagnosis in chosen:
            spoken = self._language(language, OTHER_LANGUAGE_MENTION)
            text = self._word(diagnosis, spoken) if annotated else self._fresh_word(diagnosis, spoken)
            pieces = [(text, diagnosis.code if annotated else "")]
            cues = reading_cues().get(text, {}).get(diagnosis.code)
            if annotated and cues and self.rng.random() < CUE_SHARE:
                pieces.append((fill_text(self.rng, self.rng.choice(cues[language]), language), ""))
            elif annotated and self.rng.random() < QUESTION_SHARE:
                pieces.append(("?", ""))
            mentions.append(pieces)
        return mentions

    def _word(self, diagnosis: Diagnosis, language: str) -> str:
        habits = self.habits.setdefault((diagnosis.code, language), [])
        if habits and self.rng.random() < HABIT_SHARE:
            return self.rng.choice(habits)
        habits.append(self._fresh_word(diagnosis, language))
        return habits[-1]

    def _fresh_word(self, diagnosis: Diagnosis, language: str) -> str:
        text = word_mention(self.rng, diagnosis, language, self.patient.clinic)
        # Two-letter abbreviations keep their capitals: "fa" and "dm" would be other words.
        if text.isupper() and 2 < len(text) < 6 and text != "LES" and self.rng.random() < self.patient.clinic.lowercase:
            return text.lower()
        return text

    def _unannotated_sentences(self, visit: Visit) -> list[Sentence]:
        sentences = []
        clinic, sex = self.patient.clinic.name, self.patient.sex
        for section, share in UNANNOTATED.items():
            if visit.words < 8 or self.rng.random() >= share:
                continue
            language = self._language(visit.language, OTHER_LANGUAGE_SENTENCE)
            pool, cumulative = whole_pool(clinic, sex)
            size = 1 if section == "prevention" else self.rng.choice((1, 1, 2, 3))
            chosen = {item.code: item for item in self.rng.choices(pool, cum_weights=cumulative, k=size)}
            last_word = " ni " if section == "negated" else {"es": " y ", "ca": " i "}[language]
            mentions = self._list(list(chosen.values()), language, annotated=False)
            sentences.append(self._around(section, language, mentions, last_word=last_word))
        return sentences

    def _plain_sentences(self, visit: Visit, written: list[Sentence]) -> list[Sentence]:
        shares = KINDS[visit.kind].sections
        sections, weights = list(shares), list(shares.values())
        sentences: list[Sentence] = []
        used: set[Template] = set()
        budget = visit.words - sum(sentence.words for sentence in written)
        failures = 0
        while budget > 1 and (failures < 3 or not (written or sentences)):  # no note is empty
            section = self.rng.choices(sections, weights)[0]
            language = self._language(visit.language, OTHER_LANGUAGE_SENTENCE)
            text = fill_plain(self.rng, section, language, used)
            sentence = Sentence(RANK[section], [(abbreviate(self.rng, text, language, self.patient.clinic), "")])
            if sentence.words > budget:
                failures += 1
                continue
            sentences.append(sentence)
            budget -= sentence.words
        return sentences

    def _join(self, sentences: list[Sentence], *, with_headings: bool) -> list[Piece]:
        clinic = self.patient.clinic
        by_line = self.rng.random() < clinic.lines
        stops = self.rng.random() < 0.8 or not by_line  # lines may do without full stops
        capitalise = self.rng.random() < 0.85
        pieces: list[Piece] = []
        for place, sentence in enumerate(sentences):
            starts = not place or sentences[place - 1].rank != sentence.rank
            if place:
                pieces.append(("\n" if by_line else " ", ""))
            if with_headings and starts:
                pieces.append((clinic.headings[sentence.rank] + " ", ""))
            body = [piece for piece in sentence.pieces if piece[0]]
            body[0] = (_start(body[0][0], is_mention=bool(body[0][1]), capitalise=capitalise), body[0][1])
            if not stops and body[-1][0].endswith("."):
                body[-1] = (body[-1][0][:-1], "")
            pieces += body
        return pieces

    def _noise(self, pieces: list[Piece]) -> list[Piece]:
        noised = []
        for text, code in pieces:
            changed, count = add_noise(self.rng, text, rate=self.patient.clinic.noise, known=vocabulary())
            self.noised += count
            noised.append((changed, code))
        return noised


def _start(text: str, *, is_mention: bool, capitalise: bool) -> str:
    """Return the start of a sentence: a mention gets its capital, or another text loses it."""
    if is_mention:
        return text[0].upper() + text[1:] if capitalise else text
    return text if capitalise or text[1:2].isupper() else text[0].lower() + text[1:]


def _assemble(pieces: list[Piece]) -> tuple[str, tuple[Span, ...]]:
    """Return the text of the pieces and the spans of those that carry a code."""
    spans, position = [], 0
    for text, code in pieces:
        if code:
            spans.append(Span(((position, position + len(text)),), code))
        position += len(text)
    return "".join(text for text, _ in pieces), tuple(spans)
