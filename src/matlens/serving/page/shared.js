"use strict";
// What the pages of all servers share: asking the server, with a token where it wants one, and showing probabilities.

const TRIES = 30, SHOWN = 5;
const $ = id => document.getElementById(id);
let token = sessionStorage.getItem("matlens-token") || "";
let opened = null;

/** Make an element with a class and text; text is never read as HTML. */
function element(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

const percent = share => `${(100 * share).toFixed(1)} %`;
const wait = seconds => new Promise(resolve => setTimeout(resolve, 1000 * seconds));

/** Ask the server. Waits and asks again where it is busy, and asks the user for a token where it wants one. */
async function ask(path, body) {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await fetch(path, body ? { method: "POST", body, headers } : { headers });
    const answer = await response.json().catch(() => ({ error: `The server answered with status ${response.status}.` }));
    if (response.status === 401) await askForToken(token ? "That token is wrong." : "");
    else if (response.status === 429) await wait(Number(response.headers.get("Retry-After")) || 1);
    else return answer;
  }
  return { error: "The server is busy. Try again later." };
}

/** Show the form for a token, and wait until one is given. Several requests wait for one form. */
function askForToken(why) {
  if (why) $("door-why").textContent = why;
  $("door").hidden = false;
  $("token").focus();
  opened ??= new Promise(resolve => {
    $("door").addEventListener("submit", event => {
      event.preventDefault();
      token = $("token").value.trim();
      sessionStorage.setItem("matlens-token", token);
      $("door").hidden = true;
      opened = null;
      resolve();
    }, { once: true });
  });
  return opened;
}

/** List the likeliest classes of an object of probabilities by class, with bars. */
function chances(probabilities) {
  const list = element("ul", "", "chances");
  for (const [name, share] of Object.entries(probabilities).sort((a, b) => b[1] - a[1]).slice(0, SHOWN)) {
    const row = element("li"), bar = element("span", "", "bar"), fill = element("i");
    fill.style.width = percent(share).replace(" ", "");
    bar.setAttribute("aria-hidden", "true");
    bar.append(fill);
    row.append(element("span", name), element("span", percent(share)), bar);
    list.append(row);
  }
  return list;
}
