"use strict";

// On a narrow screen the rows of a table stand below one another, each cell beside the name of its column. As blocks,
// cells would be no table to a screen reader any more, so what they are is said.
for (const table of document.querySelectorAll(".scroll table:not(.plain):not(.headline)")) {
  const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
  const say = (element, role) => element.setAttribute("role", role);
  say(table, "table");
  for (const part of [table.tHead, ...table.tBodies, table.tFoot]) if (part) say(part, "rowgroup");
  for (const row of table.rows) {
    say(row, "row");
    [...row.cells].forEach((cell, column) => {
      say(cell, cell.tagName === "TD" ? "cell" : row.parentNode === table.tHead ? "columnheader" : "rowheader");
      if (column) cell.dataset.label = heads[column];
    });
  }
  table.classList.add("stacked");
}

