"use strict";
(() => {
  const form = document.getElementById("filters");
  const fields = ["q", "f-region", "f-period", "f-noun", "f-kind"].map((id) => document.getElementById(id));
  const found = document.getElementById("found");
  const kinds = ["risen", "fallen", "new", "returned", "dropped", "same"];

  // Every row that can be searched, with what it is filtered by.
  const rows = [];
  const add = (row, name, move, region, period, noun) => rows.push({
    row, name: row.cells[name]?.textContent.toLowerCase() ?? "",
    kind: kinds.find((kind) => row.cells[move]?.classList.contains(kind)) ?? "", region, period, noun,
  });
  for (const row of document.querySelectorAll(".movers tbody tr")) {
    add(row, 0, 4, row.cells[2].textContent.trim(), row.cells[3].textContent.trim(), row.cells[1].textContent.trim());
  }
  for (const section of document.querySelectorAll(".list")) {
    for (const table of section.querySelectorAll("table")) {
      for (const row of table.querySelectorAll("tbody tr")) {
        add(row, 2, 1, section.dataset.region, section.dataset.period, table.dataset.noun);
      }
    }
  }
  const regions = [...document.querySelectorAll(".region")];
  let opened = null; // which regions were open before a search

  const filter = () => {
    const [q, region, period, noun, kind] = fields.map((field) => field.value.trim());
    const text = q.toLowerCase();
    const active = Boolean(text || region || period || noun || kind);
    let count = 0;
    for (const one of rows) {
      const shown = one.name.includes(text) && (!region || one.region === region)
        && (!period || one.period === period) && (!noun || one.noun === noun) && (!kind || one.kind === kind);
      one.row.hidden = !shown;
      count += shown;
    }
    const empty = (inside) => active && !inside.querySelector("tbody tr:not([hidden])");
    for (const part of document.querySelectorAll(".list table, .list, .region")) part.hidden = empty(part);
    if (active) {
      opened = opened || regions.map((part) => part.open);
      for (const part of regions) part.open = !part.hidden && Boolean(text || region);
    } else if (opened) {
      regions.forEach((part, n) => { part.open = opened[n]; });
      opened = null;
    }
    found.textContent = active ? `${count} ${count === 1 ? "row" : "rows"}` : "";
  };
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;

  // A cell as something to sort by: 1.2K, −3%, ▲4, or text; what is empty comes last.
  const units = { K: 1e3, M: 1e6, B: 1e9, T: 1e12, P: 1e15, E: 1e18 };
  const value = (cell) => {
    const text = cell.textContent.trim().replace("−", "-").replaceAll(",", "");
    const number = /^([▲▼×+]?)(-?[\d.]+)([KMBTPE]?)%?$/.exec(text);
    if (!number) return text || null;
    return Number(number[2]) * (units[number[3]] || 1) * (number[1] === "▼" ? -1 : number[1] === "×" ? 100 : 1);
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
    : typeof a === typeof b ? String(a).localeCompare(String(b)) : typeof a === "number" ? -1 : 1;
  const sort = (head, index) => {
    const direction = head.ariaSort === "ascending" ? -1 : 1;
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0];
    const keyed = [...body.rows].map((row) => [value(row.cells[index]), row]);
    keyed.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : direction * compare(a, b));
    body.append(...keyed.map(([, row]) => row));
  };
  for (const head of document.querySelectorAll("thead th:not(.p)")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => sort(head, head.cellIndex));
  }

  // A link to a list opens its region.
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const region = target && target.closest(".region");
    if (region && !region.open) {
      region.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
  reveal();
})();
