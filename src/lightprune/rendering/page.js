"use strict";

// A number that a cell begins with, or its text; nothing sorts last.
function sortKey(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replace("−", "-").replace(/^<|,/g, ""));
  return text === "" ? null : Number.isNaN(number) ? text : number;
}

function sortRows(table, column, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].map((row) => [sortKey(row, column), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === typeof b) return sign * (a < b ? -1 : a > b ? 1 : 0);
    return typeof a === "number" ? -1 : 1;
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "ascending" : "descending");
      sortRows(table, column, head.getAttribute("aria-sort"));
    });
  });
}

for (const frame of document.querySelectorAll(".tall:has(table)")) {
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "filter: words that a row must have";
  field.setAttribute("aria-label", field.placeholder);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of frame.querySelectorAll("tbody tr")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
  frame.before(field);
}

// A part that is shown takes a style that no other shown part of its figure has, if one is left.
for (const box of document.querySelectorAll("input[data-part]")) {
  box.addEventListener("change", () => {
    const figure = box.closest("figure");
    const shown = [...figure.querySelectorAll("input:checked")].filter((other) => other !== box);
    const taken = shown.map((other) => other.parentElement.className);
    const free = ["s0", "s1", "s2", "s3", "s4", "s5"].find((style) => !taken.includes(style));
    if (box.checked && free) box.parentElement.className = free;
    for (const part of figure.querySelectorAll(`svg .${box.dataset.part}`)) {
      part.classList.toggle("off", !box.checked);
      const words = part.getAttribute("class").replace(/\bs\d\b/, box.parentElement.className);
      part.setAttribute("class", words);
    }
  });
}

// Where the style sheet cannot open what is closed.
const closed = () => document.querySelectorAll("details:not([open])");
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...closed()];
  opened.forEach((part) => (part.open = true));
});
addEventListener("afterprint", () => opened.forEach((part) => (part.open = false)));
