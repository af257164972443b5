"use strict";
// The material groups of an answer, and the training photos that a photo is most like. Uses element, percent and ask of serve.js.

const GROUPS_SHOWN = 3;

/** Return the likeliest groups of materials as elements; none where the run has no groups. */
function groupsOf(answer) {
  const groups = Object.entries(answer.groups ?? {}).sort((a, b) => b[1] - a[1]).slice(0, GROUPS_SHOWN);
  return groups.length ? [element("p", `By groups of materials: ${groups.map(([name, share]) => `${name} ${percent(share)}`).join(", ")}.`,
    "muted groups")] : [];
}

/** Show the training photos that each model takes for most like a card's photo, and note them beside its answers. */
async function nearest(form, card, photo) {
  const answer = await ask("/v1/nearest", form);
  for (const each of answer.nearest ?? []) {
    const column = [...card.querySelectorAll("[data-model]")].find(place => place.dataset.model === each.model);
    if (!column) continue;
    if (each.photos.length) {
      const title = element("p", "Most like these training photos:", "label"), list = element("ul", "", "nearest");
      list.setAttribute("aria-label", `Training photos that ${each.model} takes for most like ${photo.name}`);
      list.append(...each.photos.map(alike));
      column.append(title, list);
    }
    if (each.remark) column.append(element("p", each.remark, "muted"));
    const told = photo.answers.find(one => one.model === each.model);
    if (told) told.nearest = each.photos.map(({ path, class: name, similarity }) => ({ path, class: name, similarity }));
  }
}

function alike(photo) {
  const item = element("li");
  item.title = photo.path;
  if (photo.jpeg) {
    const picture = element("img");
    picture.src = `data:image/jpeg;base64,${photo.jpeg}`;
    picture.width = photo.width;
    picture.height = photo.height;
    picture.alt = photo.path;
    item.append(picture);
  } else {
    item.append(element("span", photo.path, "path"));
  }
  item.append(element("span", `${photo.class}, ${photo.similarity.toFixed(3)}`));
  return item;
}
