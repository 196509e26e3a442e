// Tips at the pointer, and sorting and folding of the tables of layers. Without this script the
// page shows the same, unfolded.
"use strict";
document.documentElement.classList.add("scripted");

const tip = document.getElementById("tip");

function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = x + 16 + box.width > innerWidth ? x - 16 - box.width : x + 16;
  const top = Math.min(y + 12, innerHeight - box.height - 8);
  tip.style.left = Math.max(8, left) + "px";
  tip.style.top = Math.max(8, top) + "px";
}

// The index of the place nearest to `part`; `at` is ascending.
function nearest(at, part) {
  let low = 0, high = at.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (at[middle] < part) low = middle; else high = middle;
  }
  return part - at[low] < at[high] - part ? low : high;
}

function crossIn(svg) {
  let cross = svg.querySelector(".cross");
  if (!cross) {
    cross = document.createElementNS(svg.namespaceURI, "line");
    cross.setAttribute("class", "cross");
    svg.append(cross);
  }
  return cross;
}

function watchPlot(svg, tips) {
  const plot = svg.querySelector(".plot");
  const left = +plot.getAttribute("x"), width = +plot.getAttribute("width");
  const top = +plot.getAttribute("y"), bottom = top + +plot.getAttribute("height");
  svg.addEventListener("pointermove", event => {
    const box = plot.getBoundingClientRect();
    const part = (event.clientX - box.left) / box.width;
    const inside = part >= -0.02 && part <= 1.02 && event.clientY >= box.top && event.clientY <= box.bottom;
    const cross = crossIn(svg);
    cross.style.display = inside ? "" : "none";
    tip.hidden = !inside;
    if (!inside) return;
    const index = nearest(tips.at, part);
    const x = left + tips.at[index] * width;
    for (const [name, value] of [["x1", x], ["x2", x], ["y1", top], ["y2", bottom]]) cross.setAttribute(name, value);
    showTip(tips.text[index], event.clientX, event.clientY);
  });
  svg.addEventListener("pointerleave", () => {
    tip.hidden = true;
    crossIn(svg).style.display = "none";
  });
}

for (const figure of document.querySelectorAll(".chart")) {
  const data = figure.querySelector("script");
  if (!data) continue;
  const tips = JSON.parse(data.textContent);
  for (const svg of figure.querySelectorAll(":scope > svg")) watchPlot(svg, tips);
}

for (const dot of document.querySelectorAll("[data-tip]")) {
  dot.addEventListener("pointermove", event => showTip(dot.dataset.tip, event.clientX, event.clientY));
  dot.addEventListener("pointerleave", () => { tip.hidden = true; });
}

// In the network's order rows stand in their stages; otherwise the largest first, without stages.
function sortTable(table, button) {
  const key = button.dataset.sort, first = button.getAttribute("aria-sort");
  for (const other of table.querySelectorAll("[data-sort]")) other.removeAttribute("aria-sort");
  const rows = [...table.querySelectorAll("tr[data-order]")];
  const number = row => +row.dataset[key];
  table.classList.toggle("flat", key !== "order");
  if (key === "order") {
    for (const row of rows.sort((a, b) => number(a) - number(b))) row.home.append(row);
    return;
  }
  const sign = first === "descending" ? -1 : 1;
  button.setAttribute("aria-sort", sign > 0 ? "descending" : "ascending");
  for (const row of rows.sort((a, b) => sign * (number(b) - number(a)))) table.sorted.append(row);
}

for (const table of document.querySelectorAll(".layers")) {
  for (const row of table.querySelectorAll("tr[data-order]")) row.home = row.parentNode;
  table.sorted = document.createElement("tbody");
  table.tHead.after(table.sorted);
  for (const button of table.querySelectorAll("[data-sort]")) {
    button.addEventListener("click", () => sortTable(table, button));
  }
  for (const stage of table.querySelectorAll(".stage button")) {
    const body = stage.closest("tbody");
    if (table.classList.contains("long")) body.classList.add("folded");
    stage.setAttribute("aria-expanded", !body.classList.contains("folded"));
    stage.addEventListener("click", () => stage.setAttribute("aria-expanded", !body.classList.toggle("folded")));
  }
}
