"use strict";
// One photo at a time, decided by keys or buttons. Each decision is with the server before the next photo is shown.

const KEYS = 9;
const pictures = new Map();
const done = []; // numbers of photos that this page decided on, for undo
let review = null, shown = [], place = 0, busy = false;

const current = () => shown[place];
const photo = number => review.photos[number];
const decision = number => review.decided[number];
const isOpen = card => !decision(card.number);

/** Say what stands for a photo. */
function state(number) {
  const taken = decision(number);
  if (!taken) return "";
  if (taken.action === "keep") return "kept";
  if (taken.action === "undo") return `correction undone: ${taken.to}`;
  return taken.to ? `relabelled as ${taken.to}` : "left out";
}

/** Fetch a photo once; img elements cannot send a token. Gives an address, or throws with the server's words. */
function picture(number) {
  if (!pictures.has(number)) {
    const fetched = fetch(`/v1/photo?number=${number}`, { headers: token ? { Authorization: `Bearer ${token}` } : {} })
      .then(async response => {
        if (!response.ok) throw new Error((await response.json()).error);
        return URL.createObjectURL(await response.blob());
      });
    fetched.catch(() => pictures.delete(number));
    pictures.set(number, fetched);
    if (pictures.size > 40) {
      const oldest = pictures.keys().next().value;
      pictures.get(oldest).then(URL.revokeObjectURL, () => {});
      pictures.delete(oldest);
    }
  }
  return pictures.get(number);
}

/** Put a photo into an img element, unless another one is wanted there by then. */
async function put(image, number, alt, unseen) {
  image.hidden = true;
  if (unseen) unseen.hidden = true;
  image.dataset.number = number;
  try {
    const address = await picture(number);
    if (image.dataset.number !== String(number)) return;
    image.src = address;
    image.alt = alt;
    image.hidden = false;
  } catch (error) {
    if (image.dataset.number !== String(number) || !unseen) return;
    unseen.textContent = error.message;
    unseen.hidden = false;
  }
}

function problem(words) {
  $("problem").textContent = words;
  $("problem").hidden = !words;
}

/** The classes that keys relabel to: all, or where these are too many the likeliest of this photo. */
function keyed(card) {
  if (review.classes.length <= KEYS) return review.classes;
  const likely = Object.values(card.answers).flatMap(answer => Object.keys(answer));
  return [...new Set(likely)].filter(name => name !== photo(card.number).label).slice(0, KEYS);
}

function choose() {
  const kind = $("kind").value, before = current();
  shown = review.cards.filter(card => !kind || (kind === "open" ? isOpen(card)
    : card.reasons.some(reason => reason.kind === kind)));
  place = Math.max(shown.indexOf(before), 0);
  draw();
}

/** Draw the card that is looked at. focus: move the focus to it, so that it is read out. */
function draw(focus = false) {
  const card = current();
  $("card").hidden = !card;
  $("none").hidden = Boolean(card);
  const open = review.cards.filter(isOpen).length;
  $("place").textContent = `${card ? `${place + 1} of ${shown.length}` : ""} (${review.cards.length - open} of ${review.cards.length} decided)`;
  $("previous").disabled = place === 0;
  $("next").disabled = place >= shown.length - 1;
  $("after").hidden = open === review.cards.length;
  if (!card) return;
  const { path, part, label } = photo(card.number), taken = decision(card.number), words = state(card.number);
  $("path").textContent = path;
  $("label").replaceChildren(element("strong", label), ` in ${part}${words ? "; " : ""}`, ...(words ? [element("strong", words)] : []));
  $("reasons").replaceChildren(...card.reasons.map(reason => element("li", reason.words)));
  $("keep").replaceChildren(`Keep ${label} `, element("kbd", "K"));
  $("keep").setAttribute("aria-pressed", String(taken?.action === "keep"));
  $("leave_out").setAttribute("aria-pressed", String(taken?.action === "leave_out"));
  $("undo").disabled = !taken && !done.length;
  $("classes").replaceChildren(...keyed(card).map((name, position) => {
    const button = element("button", `${name} `);
    button.type = "button";
    button.append(element("kbd", String(position + 1)));
    button.setAttribute("aria-keyshortcuts", String(position + 1));
    button.setAttribute("aria-pressed", String(taken?.action === "relabel" && taken.to === name));
    button.addEventListener("click", () => decide("relabel", name));
    return button;
  }));
  $("class").value = "";
  $("answers").replaceChildren(...Object.entries(card.answers).flatMap(([model, answer]) => [element("h4", model), chances(answer)]));
  put($("picture"), card.number, `The photo, labelled ${label}`, $("unseen"));
  $("group").hidden = !card.like.length;
  $("copies").replaceChildren(...card.like.slice(0, 12).map(number => {
    const figure = element("figure"), image = element("img"), other = photo(number);
    const caption = element("figcaption", `${other.path}: ${[other.label, other.part, state(number)].filter(Boolean).join(", ")}`);
    figure.append(image, caption);
    put(image, number, `A copy, labelled ${other.label}`);
    return figure;
  }));
  if (focus) $("path").focus();
  const following = shown[place + 1];
  if (following) picture(following.number).catch(() => {});
}

function go(step) {
  const to = place + step;
  if (to < 0 || to >= shown.length) return;
  place = to;
  draw(true);
  $("status").textContent = `Photo ${place + 1} of ${shown.length}.`;
}

/** Go to the next photo without a decision; where there is none after this one, stay. */
function advance() {
  if ($("kind").value === "open") shown = shown.filter((card, position) => isOpen(card) || position === place);
  const next = shown.findIndex((card, position) => position > place && isOpen(card));
  if (next >= 0) place = next;
  draw(true);
}

/** Ask the server to take a decision; the page changes once it stands on the server's disk. */
async function send(number, action, to) {
  if (busy) return false;
  busy = true;
  try {
    const answer = await ask("/v1/decide", JSON.stringify({ number, action, to }));
    if (answer.error) {
      problem(answer.error);
      return false;
    }
    problem("");
    review.decided = answer.decided;
    return true;
  } catch (error) {
    problem(`The server cannot be reached (${error.message}). This decision was not taken: decide again when it runs.`);
    return false;
  } finally {
    busy = false;
  }
}

async function decide(action, to) {
  const card = current();
  if (card && to === photo(card.number).label) [action, to] = ["keep", undefined];
  if (!card || !await send(card.number, action, to)) return;
  done.push(card.number);
  const words = `${photo(card.number).path}: ${state(card.number)}.`;
  advance();
  const open = review.cards.filter(isOpen).length;
  $("status").textContent = `${words} ${open ? `${open} photos are left.` : "All photos are decided."}`;
}

/** Undo the last decision of this page, and show its photo; or else that of the photo that is shown. */
async function undo() {
  const number = done.length ? done[done.length - 1] : current()?.number;
  if (number === undefined || !await send(number, "undo")) return;
  done.pop();
  if (!shown.some(card => card.number === number)) $("kind").value = "";
  choose();
  place = Math.max(shown.findIndex(card => card.number === number), 0);
  draw(true);
  $("status").textContent = `Undone: ${photo(number).path}${state(number) ? `, ${state(number)}` : ""}.`;
}

document.addEventListener("keydown", event => {
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (!review || event.ctrlKey || event.metaKey || event.altKey || event.repeat || !$("shortcuts").checked) return;
  if (typing) {
    if (event.key === "Escape") $("path").focus();
    return;
  }
  const key = event.key.toLowerCase(), name = /^[1-9]$/.test(key) && current() ? keyed(current())[key - 1] : null;
  const acts = { k: () => decide("keep"), x: () => decide("leave_out"), u: undo, arrowleft: () => go(-1), arrowright: () => go(1),
    "/": () => $("other").hidden || $("class").focus() };
  const act = name ? () => decide("relabel", name) : acts[key];
  if (!act) return;
  event.preventDefault();
  act();
});
$("keep").addEventListener("click", () => decide("keep"));
$("leave_out").addEventListener("click", () => decide("leave_out"));
$("undo").addEventListener("click", undo);
$("previous").addEventListener("click", () => go(-1));
$("next").addEventListener("click", () => go(1));
$("kind").addEventListener("change", choose);
$("other").addEventListener("submit", event => {
  event.preventDefault();
  const typed = $("class").value.trim().toLowerCase();
  const fitting = review.classes.filter(name => name.toLowerCase().startsWith(typed));
  const name = review.classes.find(each => each.toLowerCase() === typed) ?? (fitting.length === 1 && typed ? fitting[0] : null);
  if (name) decide("relabel", name);
  else problem(typed ? `${fitting.length || "No"} classes begin with "${typed}". Type more of the name, or choose one of the list.` : "Type a class.");
});
window.addEventListener("focus", async () => { // others may have decided meanwhile
  if (!review || busy) return;
  const answer = await ask("/v1/decided").catch(() => ({}));
  if (!answer.decided || busy) return;
  review.decided = answer.decided;
  draw();
});

ask("/v1/review").then(answer => {
  if (answer.error) return problem(answer.error);
  review = answer;
  $("about").textContent = `${review.run}: ${review.cards.length} photos to look at. Decisions are added to ${review.file}.`;
  $("file").textContent = review.file;
  $("command").textContent = review.next;
  $("names").replaceChildren(...review.classes.map(name => {
    const option = element("option");
    option.value = name;
    return option;
  }));
  $("other").hidden = $("search").hidden = review.classes.length <= KEYS; // then each class has a key
  $("bar").hidden = false;
  shown = review.cards;
  place = Math.max(shown.findIndex(isOpen), 0);
  draw();
}).catch(error => problem(`The server cannot be reached (${error.message}). Load this page again when it runs.`));
