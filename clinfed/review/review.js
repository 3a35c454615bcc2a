"use strict";
const $ = (id) => document.getElementById(id);
const ROW = 48; // pixels, as in the stylesheet
const SIGNS = { "exact": "✓", "wrong code": "≠", "wrong boundary": "↔", "spurious": "+", "missed": "−", "predicted": "•", "added": "✎" };
const STATES = ["to review", "begun", "reviewed"];
const STATE_SIGNS = ["", "…", "✔"];
const MEANINGS = {
  "exact": "the same characters and code in gold and prediction",
  "wrong code": "the same characters, another code",
  "wrong boundary": "the same code at characters that overlap; dotted: in gold alone",
  "spurious": "any other prediction",
  "missed": "any other gold",
  "predicted": "there is no gold to compare with",
  "added": "by the reviewer",
};
const WORST = ["missed", "spurious", "wrong code", "wrong boundary", "exact", "predicted", "added"]; // whose colour a word has that several mentions cover
const kindOf = (kind) => index.kinds[kind] ?? "added"; // the one that no filter knows
const classOf = (kind) => `kind-${kindOf(kind).replace(" ", "-")}`;
const make = (name, text = "", kind = "") => Object.assign(document.createElement(name), { textContent: text, className: kind });

const pressed = new Set(); // kinds; none is all
let index; // as the server sent it
let cuts = []; // where each note's id may be shortened
let codes = null; // places of the codes that the filter names, null for all
let shown = []; // places of the notes that pass the filter
let at = -1; // place in shown
let note = null; // the one on view, once its text is there
let mention = -1; // the current one of it
let asked = 0; // the last request for a note; earlier answers come too late
let arriving = null; // the latest note asked for, as a promise
let awaited = 0; // the step to take when it is there: 1 to its first mention, -1 to its last

async function start() {
  index = await fetched("index.json");
  if (!index) return;
  cuts = cutsOf(index.notes.map(([id]) => id));
  const languages = new Map();
  for (const [, language] of index.notes) languages.set(language, (languages.get(language) || 0) + 1);
  for (const [language, count] of [...languages].sort()) $("language").append(new Option(`${language || "unknown"} (${count})`, language));
  for (const [code, title] of index.codes) $("codes").append(Object.assign(make("option"), { value: code, label: title ? `${code} ${title}` : code }));
  index.kinds.forEach((kind, number) => {
    $("meanings").append(make("dt", `${SIGNS[kind]} ${kind}`), make("dd", MEANINGS[kind]));
    const button = Object.assign(make("button", "", classOf(number)), { type: "button", onclick: () => press(number) });
    button.setAttribute("aria-keyshortcuts", String(number + 1));
    $("kinds").append(button);
  });
  for (const gold of [$("kinds"), $("of-gold")]) gold.hidden = index.kinds.length === 1;
  filter();
}

async function fetched(path) {
  try {
    const answer = await fetch(path);
    if (answer.ok) return await answer.json();
  } catch { /* said below */ }
  $("trouble").textContent = "No answer: clinfed review has ended. Start it again and open its new address.";
  $("trouble").hidden = false;
  return null;
}

// --- the filter -------------------------------------------------------------------------------------------------------

const fits = (kind, gold, predicted) => hasCode(gold, predicted) && (!pressed.size || pressed.has(kind));
const someFits = (place) => index.notes[place][2].some((kind, i, marks) => i % 3 === 0 && fits(kind, marks[i + 1], marks[i + 2]));
const hasCode = (gold, predicted) => !codes || codes.has(gold) || codes.has(predicted);

function filter() {
  const typed = $("code").value.trim().toUpperCase();
  codes = typed ? new Set(index.codes.flatMap(([code], place) => (code.toUpperCase().startsWith(typed) ? [place] : []))) : null;
  const language = $("language").value, state = $("state").value, before = shown[at], counts = index.kinds.map(() => 0);
  shown = [];
  index.notes.forEach(([, spoken, marks], place) => {
    if (language !== "*" && spoken !== language) return;
    if (state !== "*" && index.states[place] !== Number(state)) return;
    for (let i = 0; i < marks.length; i += 3) if (hasCode(marks[i + 1], marks[i + 2])) counts[marks[i]] += 1;
    if ((!codes && !pressed.size) || someFits(place)) shown.push(place);
  });
  count(counts);
  at = before === undefined ? -1 : shown.indexOf(before);
  $("rows").style.height = `${shown.length * ROW}px`;
  if (at >= 0 && note) show(); // another filter, other mentions that fit
  select(at >= 0 ? at : 0);
}

function count(counts) {
  [...$("kinds").children].forEach((button, kind) => {
    button.textContent = `${SIGNS[index.kinds[kind]]} ${index.kinds[kind]} ${counts[kind].toLocaleString("en")}`;
    button.setAttribute("aria-pressed", String(pressed.has(kind)));
  });
  const found = counts.reduce((sum, each, kind) => sum + (!pressed.size || pressed.has(kind) ? each : 0), 0);
  const [some, all, mentions] = [shown.length, index.notes.length, found].map((each) => each.toLocaleString("en"));
  $("count").textContent = `${some} of ${all} notes, ${mentions} mentions`;
  progress();
}

function progress() {
  const reviewed = index.states.filter((state) => state === 2).length;
  $("reviewed").textContent = `${reviewed.toLocaleString("en")} reviewed`;
  $("reviewed").title = `in ${index.file}`;
}

function press(kind) {
  if (!pressed.delete(kind)) pressed.add(kind);
  filter();
}

function clear() {
  pressed.clear();
  $("code").value = "";
  $("language").value = $("state").value = "*";
  filter();
}

// --- the list: only rows in view are in the page, since there may be 20,000 ---------------------------------------------

function draw() {
  const first = Math.max(0, Math.floor($("list").scrollTop / ROW) - 5);
  const last = Math.min(shown.length, Math.ceil(($("list").scrollTop + $("list").clientHeight) / ROW) + 5);
  const places = Array.from({ length: Math.max(0, last - first) }, (_, step) => first + step);
  $("rows").replaceChildren(...places.map(row));
  if (places.includes(at)) $("list").setAttribute("aria-activedescendant", `row-${at}`);
  else $("list").removeAttribute("aria-activedescendant");
}

function row(place) {
  const [id, language, marks] = index.notes[shown[place]];
  const counts = index.kinds.map(() => 0);
  for (let i = 0; i < marks.length; i += 3) counts[marks[i]] += 1;
  const said = counts.flatMap((each, kind) => (each ? [`${SIGNS[index.kinds[kind]]}${each}`] : []));
  const item = Object.assign(make("div"), { id: `row-${place}`, title: id });
  item.style.top = `${place * ROW}px`;
  const state = index.states[shown[place]];
  item.append(idOf(shown[place]), make("span", `${language || "?"}  ${said.join(" ") || "no mention"} ${STATE_SIGNS[state]}`.trimEnd(), "quiet"));
  const named = counts.flatMap((each, kind) => (each ? [`${each} ${index.kinds[kind]}`] : []));
  const states = { "role": "option", "aria-selected": place === at, "aria-setsize": shown.length, "aria-posinset": place + 1 };
  states["aria-label"] = [id, language, ...named, ...(state ? [STATES[state]] : [])].join(", ");
  for (const [name, value] of Object.entries(states)) item.setAttribute(name, value);
  return item;
}

// An id in parts: those that many ids share give way where a row is narrow, what tells it from the others does not.
function idOf(place) {
  const id = index.notes[place][0], [from, own, to] = cuts[place], whole = make("span", "", "id");
  const parts = [["shared", id.slice(0, from)], ["group", id.slice(from, own)], ["own", id.slice(own, to)], ["shared", id.slice(to)]];
  whole.append(...parts.map(([kind, text]) => make("span", text, text.length > 3 ? `${kind} long` : kind)));
  return whole;
}

// Where each id is cut: after the beginning that all ids share, where the part begins that tells it from the id most like it,
// and before the ending that all share.
function cutsOf(ids) {
  const order = ids.map((_, place) => place).sort((a, b) => (ids[a] < ids[b] ? -1 : 1));
  const likeNext = order.map((place, rank) => (rank + 1 < order.length ? alike(ids[place], ids[order[rank + 1]]) : 0));
  const least = (numbers) => numbers.reduce((one, other) => Math.min(one, other), Infinity);
  const from = ids.length > 1 ? wordStart(ids[0], least(likeNext.slice(0, -1))) : 0;
  const backwards = (id) => [...id].reverse().join("");
  const last = backwards(ids[0] ?? "");
  const ending = ids.length > 1 ? least(ids.map((id) => alike(backwards(id), last))) : 0;
  const found = [];
  order.forEach((place, rank) => {
    const id = ids[place], to = Math.max(from, id.length - ending);
    found[place] = [from, Math.max(from, wordStart(id, Math.min(to, Math.max(likeNext[rank], rank ? likeNext[rank - 1] : 0)))), to];
  });
  return found;
}

function alike(one, other) {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length += 1;
  return length;
}

// The place where the word begins that stands at a place, so that no number is cut in two; at most 12 characters before it.
function wordStart(id, place) {
  let start = place;
  while (start > 0 && place - start < 12 && /[\p{L}\p{N}]/u.test(id[start - 1])) start -= 1;
  return start;
}

const select = (place, then = 0) => (arriving = arrive(place, then));

async function arrive(place, then) {
  const list = $("list"), request = ++asked, same = note && note.place === shown[place];
  at = shown.length ? place : -1;
  awaited = then;
  if (at * ROW < list.scrollTop) list.scrollTop = at * ROW;
  if ((at + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (at + 1) * ROW - list.clientHeight;
  draw();
  if (same) return;
  const found = at < 0 ? null : await fetched(`notes/${shown[at]}.json`);
  if (request !== asked) return;
  note = found && Object.assign(found, { place: shown[at] });
  mention = -1;
  show();
  if (note && awaited) step(awaited, true);
}

// --- the note ---------------------------------------------------------------------------------------------------------

function passes(number) {
  if (number >= note.decisions.length) return true; // added here
  const marks = index.notes[note.place][2];
  return fits(...marks.slice(3 * number, 3 * number + 3));
}

function show() {
  $("name").textContent = note ? `${note.id} ${note.language}` : "No note passes the filter";
  const last = new Map(); // the code of a mention stands at its last piece
  note?.pieces.forEach(([, sides], place) => Object.keys(sides).forEach((number) => last.set(Number(number), place)));
  $("text").replaceChildren(...(note?.pieces ?? []).map(([text, sides], place) => piece(text, sides, (number) => last.get(number) === place)));
  $("mentions").replaceChildren(...(note?.mentions ?? []).map(tableRow));
  $("caption").textContent = `Mentions: ${note?.mentions.length ?? 0}`;
  const left = note?.decisions.filter((each) => each === null).length;
  $("progress").textContent = note ? [`To review: ${left} undecided`, `Begun, not saved yet: ${left} undecided`, `Reviewed, saved in ${index.file}`][note.state] : "";
  $("progress").className = note ? `state-${note.state}` : "";
  if (mention >= 0) point(mention);
  else $("note").scrollTop = $("beside").scrollTop = 0;
}

function piece(text, sides, endsHere) {
  const numbers = Object.keys(sides).map(Number);
  if (!numbers.length) return document.createTextNode(text);
  const fitting = numbers.filter(passes), kinds = new Set(fitting.map((number) => kindOf(note.mentions[number].kind)));
  const mark = make("mark", "", fitting.length ? `kind-${WORST.find((kind) => kinds.has(kind)).replace(" ", "-")}` : "faint");
  mark.title = numbers.map((number) => said(note.mentions[number])).join("\n");
  mark.dataset.mentions = numbers.join(" ");
  mark.onclick = () => point(numbers[(numbers.indexOf(mention) + 1) % numbers.length]); // again: the one below it
  let inner = mark;
  for (const number of numbers) {
    const { kind, lane } = note.mentions[number];
    const gone = note.decisions[number] === "neither" ? " rejected" : "";
    inner = inner.appendChild(make("span", "", `bar ${classOf(kind)} lane-${lane} side-${sides[number]}${gone}`));
  }
  inner.textContent = text;
  for (const number of numbers.filter(endsHere)) mark.append(make("small", short(note.mentions[number])));
  return mark;
}

const sidesOf = (each) => [each.gold, each.predicted].filter(Boolean);
const codesOf = (each) => [...new Set(sidesOf(each).map((side) => side.code))];
const short = (each) => `${SIGNS[kindOf(each.kind)]}${codesOf(each).join("→")}`;
const titled = ({ code, title }) => (title ? `${code} ${title}` : code);
const said = (each) => `${kindOf(each.kind)}: ${[...new Set(sidesOf(each).map(titled))].join(" → ")}`;

function tableRow(each, number) {
  const line = make("tr", "", passes(number) ? "" : "faint"), kind = make("td"), code = make("td"), text = make("td");
  const button = Object.assign(make("button", kindOf(each.kind), classOf(each.kind)), { type: "button", onclick: () => point(number) });
  button.prepend(`${SIGNS[kindOf(each.kind)]} `);
  kind.append(button);
  const both = each.gold && each.predicted;
  const named = (name, what) => (both && each.gold[what] !== each.predicted[what] ? `${name}: ` : "");
  for (const [name, side] of [["gold", each.gold], ["predicted", each.predicted]]) {
    if (!side || (name === "predicted" && both && each.gold.code === side.code && each.gold.places === side.places)) continue;
    if (name === "gold" || !both || each.gold.code !== side.code) code.append(make("div", named(name, "code") + titled(side)));
    if (name === "predicted" && both && each.gold.places === side.places) continue;
    const words = make("div", `${named(name, "places")}${side.text} `);
    words.append(make("span", side.places, "quiet"));
    text.append(words);
  }
  const score = each.predicted?.score;
  line.append(decided(number), kind, code, text, make("td", typeof score === "number" ? score.toFixed(2) : ""));
  return line;
}

// A decision as the table has it: a sign, a word and, for another code, the code.
function decided(number) {
  const decision = number < note.decisions.length ? note.decisions[number] : "predicted";
  const [sign, word] = { "predicted": ["✔", "accepted"], "gold": ["✔", "gold"], "neither": ["✘", "rejected"] }[decision] ?? ["", "undecided"];
  const cell = make("td", decision?.code ? `✎ ${titled(decision)}` : `${sign} ${word}`.trim(), `decision ${decision?.code ? "changed" : word}`);
  return cell;
}

function point(number) {
  mention = number;
  const marks = [...$("text").querySelectorAll("mark")];
  for (const mark of marks) mark.classList.toggle("current", mark.dataset.mentions.split(" ").includes(String(number)));
  [...$("mentions").children].forEach((line, place) => line.classList.toggle("current", place === number));
  $("mentions").children[number].scrollIntoView({ block: "nearest" });
  marks.find((mark) => mark.classList.contains("current"))?.scrollIntoView({ block: "nearest" });
  const text = sidesOf(note.mentions[number])[0].text;
  const decision = decided(number).textContent;
  $("status").textContent = `Mention ${number + 1} of ${note.mentions.length}: ${said(note.mentions[number])}: ${text}. ${decision}`;
}

function step(by, entering = false) {
  if (!note || note.place !== shown[at]) return void (awaited = by); // still on its way
  const fitting = note.mentions.map((_, number) => number).filter(passes);
  const next = by > 0 ? fitting.find((number) => number > mention) : fitting.findLast((number) => entering || number < mention);
  if (next !== undefined) return point(next);
  let place = at + by;
  while (shown[place] !== undefined && !someFits(shown[place])) place += by;
  if (shown[place] !== undefined) select(place, by);
}

// --- keys -------------------------------------------------------------------------------------------------------------

const go = (by) => shown[at + by] !== undefined && select(at + by);
const KEYS = {
  "j": () => go(1), "k": () => go(-1), "ArrowDown": () => go(1), "ArrowUp": () => go(-1),
  "n": () => step(1), "p": () => step(-1), "0": clear,
  "a": () => inTurn(accept), "g": () => inTurn(takeGold), "x": () => inTurn(reject), "u": () => inTurn(undo), "Enter": () => inTurn(finish),
  "c": changeCode, "m": addMention,
  "ArrowRight": (event) => selectWord(1, event.shiftKey), "ArrowLeft": (event) => selectWord(-1, event.shiftKey),
  "/": () => { $("code").focus(); $("code").select(); }, "?": () => $("help").showModal(),
};

function pressKey(event) {
  if (event.key === "Escape" && event.target.matches("input, select")) event.target.blur();
  if (event.ctrlKey || event.altKey || event.metaKey || !index || document.querySelector("dialog[open]") || event.target.matches("input, select")) return;
  if (event.key === "Enter" && event.target.matches("button, summary")) return; // a button is pressed by it
  const kind = Number(event.key) - 1;
  const act = KEYS[event.key] || (index.kinds.length > 1 && index.kinds[kind] && (() => press(kind)));
  if (!act) return;
  event.preventDefault();
  act(event);
}

document.addEventListener("keydown", pressKey);
$("code").addEventListener("input", filter);
$("language").addEventListener("change", filter);
$("state").addEventListener("change", filter);
$("coding").querySelector("form").addEventListener("submit", answerCode);
$("cancel").addEventListener("click", () => $("coding").close());
$("clear").addEventListener("click", clear);
$("ask").addEventListener("click", () => $("help").showModal());
$("rows").addEventListener("click", (event) => {
  const row = event.target.closest("[role=option]"); // none where it was drawn anew while the button was down
  select(row ? Number(row.id.slice(4)) : Math.floor((event.clientY - $("rows").getBoundingClientRect().top) / ROW));
});
$("list").addEventListener("scroll", () => requestAnimationFrame(draw));
window.addEventListener("resize", () => index && draw());
start();
