// Tabs, after the WAI-ARIA Authoring Practices. Without this script the panels stand one below the other.
const list = document.querySelector("[role=tablist]");
const tabs = list ? [...list.querySelectorAll("[role=tab]")] : [];
const panelOf = (tab) => document.getElementById(tab.getAttribute("aria-controls"));

function choose(tab) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", String(chosen));
    each.tabIndex = chosen ? 0 : -1;
    panelOf(each).hidden = !chosen;
  }
}

function remember(tab) {
  try {
    history.replaceState(null, "", "#" + panelOf(tab).id);
  } catch (error) {
    console.info("The chosen tab is not kept in the address here: " + error.message); // a page inside a notebook
  }
}

function reveal(hash) {
  const target = document.getElementById(decodeURIComponent(hash.slice(1)));
  const tab = target && tabs.find((each) => panelOf(each).contains(target));
  if (tab) choose(tab);
  return tab && (target.classList.contains("panel") ? list : target);
}

const follow = () => reveal(location.hash)?.scrollIntoView();

if (list) {
  list.hidden = false;
  for (const tab of tabs) {
    const panel = panelOf(tab);
    panel.setAttribute("role", "tabpanel");
    panel.tabIndex = 0;
    tab.addEventListener("click", () => { choose(tab); remember(tab); });
  }
  list.addEventListener("keydown", (event) => {
    const now = tabs.indexOf(document.activeElement);
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (now < 0 || next === undefined) return;
    event.preventDefault();
    const tab = tabs[(next + tabs.length) % tabs.length];
    choose(tab);
    remember(tab);
    tab.focus({ preventScroll: true });
  });
  choose(tabs[0]);
  follow();
  addEventListener("hashchange", follow);
  document.addEventListener("click", (event) => { // at once: the browser tells of a new address later, of the same never
    const link = event.target.closest("a[href^='#']");
    if (!link) return;
    reveal(link.hash);
    if (link.hash === location.hash) setTimeout(follow);
  });
}

// Pictures as large as the window, and in their own size.
const dialog = document.getElementById("enlarged");
if (dialog.showModal) {
  const size = dialog.querySelector(".size");
  const resize = (actual) => {
    dialog.classList.toggle("actual", actual);
    size.setAttribute("aria-pressed", String(actual));
  };
  const enlarge = (picture) => {
    const copy = picture.cloneNode();
    copy.removeAttribute("class");
    dialog.setAttribute("aria-label", picture.alt);
    dialog.querySelector(".whole").replaceChildren(copy);
    resize(false);
    dialog.showModal();
    size.hidden = copy.clientWidth >= copy.naturalWidth;
  };
  for (const button of document.querySelectorAll("button.enlarge")) {
    const picture = button.closest("figure").querySelector("img");
    button.hidden = false;
    button.addEventListener("click", () => enlarge(picture));
    picture.classList.add("enlarges");
    picture.addEventListener("click", () => enlarge(picture));
  }
  size.addEventListener("click", () => resize(!dialog.classList.contains("actual")));
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

// Tables that sort by a column.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const words = column === 0;
      const before = head.getAttribute("aria-sort");
      const up = before ? before !== "ascending" : words;
      for (const each of head.parentNode.cells) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => words ? row.cells[0].textContent : Number(row.cells[column].dataset.value);
      const order = (a, b) => words ? key(a).localeCompare(key(b)) : key(a) - key(b);
      body.append(...[...body.rows].sort((a, b) => up ? order(a, b) : order(b, a)));
    });
  });
}

// On paper everything is open.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const each of opened) each.open = true;
});
addEventListener("afterprint", () => { for (const each of opened) each.open = false; });
