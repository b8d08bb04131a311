"use strict";
// All text goes into the page as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
let order = 0, at = 0, timer = null;

function make(kind, text, name) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

const lists = [...document.querySelectorAll(".order")];
const items = lists.map((list) => [...list.querySelectorAll("li:not(.heads)")]);

function moving(frames) {
  const names = new Map();
  for (const frame of frames) for (const card of frame) {
    const name = data.cards[card][0];
    if (!names.has(name)) names.set(name, new Set());
    names.get(name).add(card);
  }
  return new Set([...names].filter(([, seen]) => seen.size > 1).map(([name]) => name));
}
const moves = data.orders.map(moving);

function draw(card, before) {
  const [name, rows] = data.cards[card];
  const old = new Map(before === undefined ? rows : data.cards[before][1]);
  const box = make("section", undefined, "card");
  box.append(make("h3", name));
  const table = make("table", undefined, "rows");
  for (const [word, value] of rows) {
    const row = make("tr"), cell = make("td", value);
    row.append(make("th", word), cell);
    if (old.get(word) !== value) {
      row.className = "changed";
      box.classList.add("changed");
      cell.append(make("small", `was ${old.has(word) ? old.get(word) : "-"}`));
    }
    table.append(row);
  }
  box.append(rows.length ? table : make("p", "none", "none"));
  return box;
}

function drawState() {
  const frames = data.orders[order], state = find("state");
  const before = new Map((frames[at - 1] || []).map((card) => [data.cards[card][0], card]));
  const still = make("details"), drawn = [];
  still.open = Boolean(state.querySelector("details")?.open);
  let count = 0;
  for (const card of frames[at] || []) {
    const name = data.cards[card][0], box = draw(card, at ? before.get(name) : undefined);
    if (moves[order].has(name)) drawn.push(box);
    else { still.append(box); count += 1; }
  }
  still.prepend(make("summary", `${count} that never change here`, "soft"));
  state.replaceChildren(...drawn, ...(count ? [still] : []));
}

function go(line, scroll = true) {
  const lines = items[order];
  at = Math.max(0, Math.min(line, lines.length - 1));
  lines.forEach((item, i) => {
    item.toggleAttribute("aria-current", i === at);
    item.classList.toggle("after", i > at);
  });
  find("at").max = Math.max(lines.length - 1, 0);
  find("at").value = at;
  const here = lines[at];
  find("where").textContent = here
    ? `line ${at + 1} of ${lines.length}${here.dataset.step ? `, step ${here.dataset.step}` : ""}`
    : "no lines";
  find("jump").value = String(at);
  if (find("jump").selectedIndex < 0) find("jump").value = "";
  drawState();
  if (here && scroll) here.scrollIntoView({ block: "nearest" });
  history.replaceState(null, "", `#${order}.${at}`);
}

function show(which, line) {
  order = Math.max(0, Math.min(which, lists.length - 1));
  lists.forEach((list, i) => { list.hidden = i !== order; });
  document.querySelectorAll("[data-order]").forEach((button) =>
    button.setAttribute("aria-pressed", String(Number(button.dataset.order) === order)));
  const choices = items[order].flatMap((item, i) => item.classList.contains("call")
    ? [[i, item.dataset.say]] : []);
  const first = make("option", "jump to a call …");
  first.value = "";
  find("jump").replaceChildren(first, ...choices.map(([i, text]) => {
    const option = make("option", text);
    option.value = String(i);
    return option;
  }));
  go(line, false);
}

function call(from, way) {
  for (let i = from + way; i >= 0 && i < items[order].length; i += way)
    if (items[order][i].classList.contains("call")) return i;
  return way > 0 ? items[order].length - 1 : 0;
}

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(() => {
    if (at + 1 >= items[order].length) play(false); else go(at + 1);
  }, 900) : null;
  find("play").textContent = on ? "Pause" : "Play";
  find("play").setAttribute("aria-pressed", String(on));
}

const acts = {
  first: () => go(0), back: () => go(at - 1), step: () => go(at + 1),
  last: () => go(items[order].length - 1),
  play: () => { if (!timer && at + 1 >= items[order].length) go(0); play(!timer); },
};
for (const [id, act] of Object.entries(acts)) find(id).addEventListener("click", () => {
  if (id !== "play") play(false);
  act();
});
find("at").addEventListener("input", (event) => go(Number(event.target.value)));
find("jump").addEventListener("change", (event) => {
  if (event.target.value !== "") go(Number(event.target.value));
});
document.querySelectorAll("[data-order]").forEach((button) => button.addEventListener("click", () => {
  play(false);
  const which = Number(button.dataset.order);
  show(which, which ? 0 : items[0].length - 1);
}));
items.forEach((lines, which) => lines.forEach((item, i) => item.addEventListener("click", () => {
  if (which === order) go(i, false);
})));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "SELECT") return;
  if (event.key === " " && event.target.tagName === "BUTTON") return;
  const keys = {
    ArrowRight: acts.step, j: acts.step, ArrowLeft: acts.back, k: acts.back,
    Home: acts.first, End: acts.last, " ": acts.play, p: acts.play,
    n: () => go(call(at, 1)), N: () => go(call(at, -1)),
  };
  const digit = /^[0-9]$/.test(event.key) && Number(event.key) < lists.length;
  if (digit) document.querySelector(`[data-order="${event.key}"]`).click();
  else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
});
const asked = /^#(\d+)\.(\d+)$/.exec(location.hash);
if (asked) show(Number(asked[1]), Number(asked[2]));
else show(0, items[0].length - 1);
