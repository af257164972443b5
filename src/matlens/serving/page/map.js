"use strict";
// The second tab: which material is where in a photo. Uses what shared.js and serve.js define: $, element, percent, ask, download.

const tabs = [...document.querySelectorAll("[role=tab]")];
const isMap = () => $("tab-map").getAttribute("aria-selected") === "true";

function openTab(chosen, focus = true) {
  for (const tab of tabs) {
    const isChosen = tab === chosen;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    $(tab.getAttribute("aria-controls")).hidden = !isChosen;
  }
  if (focus) chosen.focus();
}

tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => openTab(tab));
  tab.addEventListener("keydown", event => {
    const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    openTab(tabs.at(to % tabs.length));
  });
});

let asked = 0, shown = null;

/** Ask for the map of a photo and show it; a photo that is given meanwhile takes its place. */
async function mapPhoto(file) {
  const mine = ++asked, name = file.name || "picture";
  $("map-status").textContent = `Mapping ${name} ...`;
  const form = new FormData();
  form.append("photos", file, name);
  let answer;
  try {
    answer = await ask("/v1/map", form);
  } catch (error) {
    answer = { error: `The server cannot be reached (${error.message}). Give the photo again when it runs.` };
  }
  if (mine !== asked) return;
  if (shown) URL.revokeObjectURL(shown);
  shown = answer.maps ? URL.createObjectURL(file) : null;
  $("maps").replaceChildren(...(answer.maps ?? []).map(map => drawMap(map, name, answer.maps.length > 1)));
  $("map-status").textContent = answer.maps ? `The map of ${name}:` : answer.error;
}

function drawMap(map, name, isNamed) {
  const section = element("section", "", "map"), layers = element("div", "", "layers");
  if (isNamed) section.append(element("h3", map.model));
  const photo = element("img"), overlay = element("img");
  photo.src = shown;
  photo.alt = `The photo ${name}`;
  photo.addEventListener("error", () => photo.remove()); // of a format that this browser does not show
  overlay.src = `data:image/png;base64,${map.overlay}`;
  overlay.alt = `Its materials: ${map.legend.map(entry => `${entry.class} ${percent(entry.share)}`).join(", ")}`;
  layers.append(photo, overlay);
  const label = element("label", "Colours "), slider = element("input");
  Object.assign(slider, { type: "range", min: 0, max: 100, value: 100 });
  slider.addEventListener("input", () => { overlay.style.opacity = slider.value / 100; });
  label.append(slider);
  const fetched = element("button", "Download JSON");
  fetched.type = "button";
  fetched.addEventListener("click", () => download(JSON.stringify(map, null, 1), `${name}_map.json`, "application/json"));
  const row = element("div", "", "choices");
  row.append(label, fetched);
  section.append(layers, row, legend(map), element("p", aboutMap(map), "muted"));
  return section;
}

function legend(map) {
  const list = element("ul", "", "legend");
  for (const entry of map.legend) {
    const row = element("li"), colour = element("i");
    colour.style.background = entry.colour;
    const sure = entry.confidence === null ? "" : `, ${percent(entry.confidence)} sure`;
    row.append(colour, element("span", `${entry.number ?? ""} ${entry.class}`), element("span", percent(entry.share) + sure));
    list.append(row);
  }
  return list;
}

function aboutMap(map) {
  const small = map.size.join() === map.photo_size.join() ? "" : `The map has ${map.size[1]} x ${map.size[0]} pixels. `;
  const unknown = map.unknown_share === null ? "The model does not tell unknown areas. "
    : "Striped areas are unlike the materials that the model was trained on. ";
  const rough = map.by === "windows" ? "The model takes photos of one size, so edges are rough. " : "";
  return `${small}${unknown}${rough}Shares are of the area.`;
}

$("map-choose").addEventListener("click", () => $("map-file").click());
$("map-file").addEventListener("change", () => {
  if ($("map-file").files.length) mapPhoto($("map-file").files[0]);
  $("map-file").value = "";
});
for (const [kind, given] of [["drop", event => event.dataTransfer], ["paste", event => event.clipboardData]]) {
  document.addEventListener(kind, event => {
    if (!isMap()) return;
    event.stopImmediatePropagation(); // else the first tab takes it, too
    if (kind === "drop") event.preventDefault();
    if (given(event).files.length) mapPhoto(given(event).files[0]);
  }, true);
}
