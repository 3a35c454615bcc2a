"use strict"; // what is decided on the note of review.js, and sent
const undone = []; // what to go back to, the latest last: [place, correction]
let turn = Promise.resolve(); // what the keys before have begun
let saving = false; // a correction is on its way
let coding = null; // what is done with the code that the dialog asks for

// One key after the other, however fast they are pressed: each finds the note and the mention that those before led to.
const inTurn = (act) => (turn = turn.then(() => arriving).then(act));

const plain = (decision) => (decision?.code ? { code: decision.code } : decision);
const correctionOf = (each) => ({ decisions: each.decisions.map(plain), added: each.added, reviewed: each.state === 2 });
const isHere = () => note && note.place === shown[at] && !saving;
const tell = (text) => { $("status").textContent = $("trouble").textContent = text; $("trouble").hidden = !text; };

// Send a correction of the note on view; what it was before can be undone. Answers with what was wrong, "" where all is well.
async function send(correction, undo = true) {
  const before = [note.place, correctionOf(note)], place = note.place;
  saving = true;
  const wrong = await posted(place, { revision: note.revision, ...correction });
  saving = false;
  if (wrong) return wrong;
  tell("");
  if (undo) undone.push(before);
  return "";
}

async function posted(place, correction) {
  try {
    const answer = await fetch(`notes/${place}/correction`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(correction) });
    if (!(answer.headers.get("content-type") ?? "").startsWith("application/json")) return "Not saved: clinfed review has refused it.";
    const found = await answer.json();
    if (!answer.ok) return `Not saved: ${found.error}.`;
    note = Object.assign(found, { place });
    index.states[place] = note.state;
  } catch {
    return "Not saved: no answer. clinfed review has ended; start it again and open its new address.";
  }
  mention = Math.min(mention, note.mentions.length - 1);
  show();
  draw();
  progress();
  return "";
}

// Decide on the current mention, and go on to the next one that waits.
async function decide(of) {
  if (!isHere() || mention < 0) return;
  const { decisions, added } = correctionOf(note), number = mention, mine = number - decisions.length;
  const decision = of(note.mentions[number], mine >= 0);
  if (decision === undefined) return;
  if (mine < 0) decisions[number] = decision;
  else if (decision === "neither") added.splice(mine, 1);
  else if (decision.code) added[mine] = [...added[mine].slice(0, 2), decision.code];
  const wrong = await send({ decisions, added, reviewed: isDone(decisions, added) });
  if (!wrong && mine < 0) onward(number);
  return wrong;
}

const isDone = (decisions, added) => !decisions.includes(null) && decisions.length + added.length > 0;

function onward(number) {
  const waits = (place) => note.decisions[place] === null && passes(place);
  const next = note.decisions.findIndex((_, place) => place > number && waits(place));
  if (next >= 0) point(next);
}

const accept = () => decide(({ predicted }, mine) => (mine ? undefined : predicted ? "predicted" : "gold")).then(loud);
const takeGold = () => decide(({ gold }) => (gold ? "gold" : undefined)).then(loud);
const reject = () => decide(() => "neither").then(loud);
const loud = (wrong) => wrong && tell(wrong);

function changeCode() {
  if (!isHere() || mention < 0) return;
  const [first] = [note.decisions[mention]?.code, ...codesOf(note.mentions[mention]).reverse()].filter(Boolean);
  ask(`Code of “${sidesOf(note.mentions[mention]).at(-1).text}”`, first, (code) => decide(() => ({ code })));
}

function addMention() {
  if (!isHere()) return;
  const [start, end] = selected();
  if (start === end) return tell("Select the words of the mention first: with the mouse, or with the arrows → and ←.");
  const words = [...whole()].slice(start, end).join("");
  ask(`Code of “${words}”`, "", (code) => {
    const { decisions, added } = correctionOf(note);
    return send({ decisions, added: [...added, [start, end, code]], reviewed: isDone(decisions, [code]) });
  });
}

function ask(title, code, done) {
  coding = done;
  $("coded").textContent = title;
  $("wrong").textContent = "";
  $("new-code").value = code;
  $("coding").showModal();
  $("new-code").select();
}

async function answerCode(event) {
  event.preventDefault();
  const wrong = await coding($("new-code").value);
  if (wrong) $("wrong").textContent = wrong;
  else $("coding").close();
}

async function undo() {
  if (!isHere() || !undone.length) return;
  const [place, correction] = undone.at(-1);
  if (note.place !== place) {
    if (!shown.includes(place)) clear();
    await select(shown.indexOf(place));
    if (!isHere() || note.place !== place) return;
  }
  const wrong = await send(correction, false);
  if (wrong) tell(wrong);
  else undone.pop();
}

// Accept what is left, and on to the next note to review. Where gold and prediction differ, nothing is taken for granted.
async function finish() {
  if (!isHere()) return;
  const { decisions, added } = correctionOf(note);
  if (note.state !== 2) {
    const differs = decisions.findIndex((each, place) => each === null && !["exact", "predicted"].includes(kindOf(note.mentions[place].kind)));
    if (differs >= 0) {
      point(differs);
      return tell("Prediction and gold differ here: accept (a), take gold (g), reject (x) or change the code (c).");
    }
    const wrong = await send({ decisions: decisions.map((each) => each ?? "predicted"), added, reviewed: true });
    if (wrong) return tell(wrong);
  }
  const next = shown.findIndex((place, row) => row > at && index.states[place] !== 2);
  if (next >= 0) await select(next, 1);
}

// --- the selection: in characters (code points) of the note, without the codes that stand among them -------------------

const whole = () => note.pieces.map(([text]) => text).join("");

function offsetOf(node, offset) {
  const before = document.createRange();
  before.setStart($("text"), 0);
  before.setEnd(node, offset);
  const copy = before.cloneContents();
  for (const code of copy.querySelectorAll("small")) code.remove();
  return [...copy.textContent].length;
}

// Return start and end of the selected words, without blanks around them; [0, 0] where none is selected.
function selected() {
  const selection = getSelection();
  if (!selection.rangeCount || selection.isCollapsed) return [0, 0];
  const range = selection.getRangeAt(0), text = [...whole()];
  if (!$("text").contains(range.startContainer) || !$("text").contains(range.endContainer)) return [0, 0];
  let start = offsetOf(range.startContainer, range.startOffset), end = offsetOf(range.endContainer, range.endOffset);
  while (start < end && !text[start].trim()) start += 1;
  while (start < end && !text[end - 1].trim()) end -= 1;
  return [start, end];
}

const WORD = /[\p{L}\p{M}\p{N}]+/gu;

// Words of the note as [start, end] in characters.
function words() {
  const found = [], text = whole();
  for (const match of text.matchAll(WORD)) {
    const start = [...text.slice(0, match.index)].length;
    found.push([start, start + [...match[0]].length]);
  }
  return found;
}

// Select the next word (by: 1) or the one before (-1); grown: let the selection grow or shrink by one.
function selectWord(by, grown) {
  if (!note) return;
  const [start, end] = selected(), all = words();
  if (!all.length) return;
  const from = start === end ? startOfMention() : start;
  const first = start === end ? all.findIndex(([, close]) => close > from) : all.findIndex(([, close]) => close > start);
  const last = start === end ? first - 1 : all.findLastIndex(([open]) => open < end);
  if (!grown || start === end) {
    const next = Math.max(0, Math.min(all.length - 1, start === end ? Math.max(first, 0) : by > 0 ? last + 1 : first - 1));
    return mark(...all[next]);
  }
  mark(all[first][0], all[Math.max(first, Math.min(all.length - 1, last + by))][1]);
}

function startOfMention() {
  if (mention < 0) return 0;
  const [first] = sidesOf(note.mentions[mention]).map(({ places }) => parseInt(places, 10));
  return first;
}

// Select the characters from start to end.
function mark(start, end) {
  const range = document.createRange();
  range.setStart(...spotOf(start, false));
  range.setEnd(...spotOf(end, true));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  range.startContainer.parentElement.scrollIntoView({ block: "nearest" });
}

// The text node, and the place in it, of a character; atEnd: that before it rather than that after it.
function spotOf(offset, atEnd) {
  const walker = document.createTreeWalker($("text"), NodeFilter.SHOW_TEXT);
  let left = offset, node, last;
  while ((node = walker.nextNode())) {
    if (node.parentElement.closest("small")) continue;
    const length = [...node.data].length;
    if (left < length || (atEnd && left === length)) return [node, [...node.data].slice(0, left).join("").length];
    left -= length;
    last = node;
  }
  return [last, last.data.length];
}
