"use strict";
// The page asks the REST interface that docs/serve.md describes, and holds nothing but what is shown.

const AT_ONCE = 4;
const results = [];
let models = [], running = 0, done = 0, given = 0;
const queue = [];

function say() {
  const left = given - done;
  $("status").textContent = left ? `${done} of ${given} answered ...` : given ? `All ${given} answered.` : "";
}

/** Take files of any origin; each gets its place at once, and its answer as it comes. */
function add(files) {
  for (const file of files) {
    const card = element("li");
    card.append(element("h3", file.name || "picture"), element("p", "waiting ...", "muted"));
    $("results").append(card);
    queue.push({ file, card });
    given++;
  }
  if (files.length) $("answers").hidden = false;
  say();
  while (running < AT_ONCE && queue.length) work();
}

async function work() {
  running++;
  for (let next = queue.shift(); next; next = queue.shift()) {
    try {
      await show(next.file, next.card);
    } catch (error) {
      complain(next.card, `The server cannot be reached (${error.message}). Give the photo again when it runs.`);
    }
    done++;
    say();
  }
  running--;
}

function complain(card, words) {
  card.querySelectorAll(":scope > :not(h3)").forEach(each => each.remove());
  card.append(element("p", words, "problem"));
}

async function show(file, card) {
  const form = new FormData();
  form.append("photos", file, file.name || "picture");
  const answer = await ask("/v1/predict", form);
  if (!card.isConnected) return; // cleared meanwhile
  if (!answer.photos) return complain(card, answer.error);
  const isArchive = answer.photos.length > 1 || /\.zip$/i.test(file.name);
  const cards = [card, ...answer.photos.slice(1).map(() => element("li"))];
  card.after(...cards.slice(1));
  answer.photos.forEach((photo, place) => {
    cards[place].replaceChildren(element("h3", photo.name));
    results.push(photo);
    if (photo.error) return complain(cards[place], `This cannot be read: ${photo.error}.`);
    draw(photo, cards[place], isArchive ? null : file);
  });
  const last = element("p", `Answered in ${(1000 * answer.seconds).toFixed(0)} ms.`, "muted time");
  cards[cards.length - 1].append(last);
  if (!isArchive && answer.photos[0].answers) {
    // What is known is shown already: a server that ends now takes nothing of it away.
    for (const more of [() => explain(form, card), () => nearest(form, card, answer.photos[0])]) {
      await more().catch(error => card.append(element("p", `The server cannot be reached (${error.message}).`, "problem")));
    }
  }
}

/** Draw the answers of all models to a photo, side by side. */
function draw(photo, card, file) {
  const side = element("div", "", "side");
  const address = file ? URL.createObjectURL(file) : null;
  for (const answer of photo.answers) {
    const column = element("div");
    column.dataset.model = answer.model;
    if (photo.answers.length > 1) column.append(element("h4", answer.model));
    if (address) {
      const stack = element("div", "", "stack"), picture = element("img");
      picture.src = address;
      picture.alt = `The photo ${photo.name}`;
      picture.addEventListener("error", () => stack.remove());
      stack.append(picture);
      column.append(stack);
    }
    column.append(element("p", `${answer.class}, ${percent(answer.probability)}`, "answer"));
    if (answer.unknown) {
      column.append(element("p", "Probably none of these materials: the photo is unlike those that the model was trained on. "
        + "(Of photos of these materials, 5 % get this by mistake.)", "none"));
    }
    column.append(chances(answer.probabilities), ...groupsOf(answer), element("p", about(answer), "muted"));
    side.append(column);
  }
  card.append(side);
}

function about(answer) {
  const model = models.find(each => each.name === answer.model);
  const calibrated = answer.calibration ? `Calibrated probabilities (${model?.calibration ?? answer.calibration}).`
    : "Probabilities are not calibrated.";
  const set = answer.set?.length > 1 ? `It may well be ${answer.set.join(", ")} (90 % coverage). ` : "";
  return set + calibrated;
}

/** Lay the heat maps over a card's photo. */
async function explain(form, card) {
  const answer = await ask("/v1/explain", form);
  for (const each of answer.explained ?? []) {
    const stack = [...card.querySelectorAll("[data-model]")].find(column => column.dataset.model === each.model)
      ?.querySelector(".stack");
    if (!stack || !each.heat) continue;
    const heat = element("img");
    heat.src = `data:image/png;base64,${each.heat}`;
    heat.alt = `Heat map (${each.title}): what spoke for ${each.class}`;
    heat.style.opacity = $("heat").value / 100;
    stack.append(heat);
  }
}

/** Write a table of what was answered; what a spreadsheet would take for a formula is text. */
function table() {
  const names = [...new Set(results.flatMap(photo => (photo.answers ?? []).flatMap(answer => Object.keys(answer.probabilities))))];
  const cell = value => {
    const text = String(value ?? "");
    return `"${(typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  };
  const rows = results.flatMap(photo => (photo.answers ?? [{ probabilities: {} }]).map(answer => [
    photo.name, answer.model, answer.class, answer.probability, answer.unknown, answer.unknown_p, answer.set?.join("|"),
    photo.error, ...names.map(name => answer.probabilities[name])]));
  return [["photo", "model", "class", "probability", "unknown", "unknown_p", "set", "error", ...names], ...rows]
    .map(row => row.map(cell).join(",")).join("\r\n");
}

function download(content, name, kind) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([content], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

$("choose").addEventListener("click", () => $("files").click());
$("take").addEventListener("click", () => $("camera").click());
for (const input of [$("files"), $("camera")]) {
  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = "";
  });
}
$("heat").addEventListener("input", () => document.querySelectorAll(".stack img + img").forEach(heat => {
  heat.style.opacity = $("heat").value / 100;
}));
$("json").addEventListener("click", () => download(JSON.stringify(results, null, 1), "matlens.json", "application/json"));
$("csv").addEventListener("click", () => download(table(), "matlens.csv", "text/csv"));
$("clear").addEventListener("click", () => {
  document.querySelectorAll(".stack img:first-child").forEach(picture => URL.revokeObjectURL(picture.src));
  $("results").replaceChildren();
  results.length = done = 0;
  given = running;
  queue.length = 0;
  $("answers").hidden = true;
  say();
  $("choose").focus();
});
document.addEventListener("dragover", event => {
  event.preventDefault();
  $("drop").classList.add("over");
});
document.addEventListener("dragleave", event => event.relatedTarget || $("drop").classList.remove("over"));
document.addEventListener("drop", event => {
  event.preventDefault();
  $("drop").classList.remove("over");
  add([...event.dataTransfer.files]);
});
document.addEventListener("paste", event => add([...event.clipboardData.files]));

ask("/v1/models").then(answer => {
  models = answer.models ?? [];
  $("results").classList.toggle("tiles", models.length === 1);
  const names = [...new Set(models.flatMap(model => model.classes))];
  $("models").textContent = models.length ? `${models.map(model => model.test_accuracy === null ? model.name
    : `${model.name} (${percent(model.test_accuracy)} of test photos right)`).join(", ")}. Materials: ${names.join(", ")}.`
    : answer.error;
}).catch(() => { $("models").textContent = "The server cannot be reached. Load this page again when it runs."; });
