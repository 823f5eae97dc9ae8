"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const node = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const shown = (value) => (value === null || value === undefined ? "-" : value.toFixed(1));
const layers = [
  { name: "image" },
  { name: "ground truth", truth: true },
  ...data.models.map((model, index) => ({ name: model.name, model: index })),
  ...data.models.map((model, index) => ({
    name: data.models.length > 1 ? `difference, ${model.name}` : "difference", model: index, difference: true,
  })),
];
const state = { layer: 2, sort: "worst", filter: "", order: [], focus: -1 };
const [GREEN, RED] = [[40, 170, 90], [225, 45, 45]];

// Summary -----------------------------------------------------------------------------------------
for (const model of data.models) {
  for (const [group, figures] of Object.entries(model.groups)) {
    const text = `PQ ${shown(figures.pq)}`;
    const small = `SQ ${shown(figures.sq)}  RQ ${shown(figures.rq)}`;
    const name = data.models.length > 1 ? `${model.name}: ${group}` : group;
    byId("tiles").append(node("div", { className: "tile" }, name, node("b", {}, text), node("small", {}, small)));
  }
  const sizes = Object.entries(model.sizes).map(([size, pq]) => `${size} ${shown(pq)}`).join("  ");
  byId("tiles").append(node("div", { className: "tile" }, "things by size", node("b", {}, "PQ"), node("small", {}, sizes)));
}

// Classes -----------------------------------------------------------------------------------------
const columns = [["pq", "PQ"], ["sq", "SQ"], ["rq", "RQ"], ["tp", "matched"], ["fp", "extra"], ["fn", "missed"]];
let classOrder = { model: 0, key: "pq", sign: -1 };
function swatch(label) {
  const made = node("span", { className: "swatch" });
  made.style.background = `rgb(${data.classes[label].color})`;
  return made;
}
function drawClasses() {
  const head = node("tr", {}, sortable("class", 0, "name"));
  data.models.forEach((model, index) => {
    if (data.models.length > 1) head.append(node("th", {}, model.name));
    else head.append(node("th", {}, ""));
    for (const [key, name] of columns) head.append(sortable(name, index, key));
  });
  const value = (label) => classOrder.key === "name"
    ? data.classes[label].name : data.models[classOrder.model].classes[label][classOrder.key] ?? -1;
  const order = data.classes.map((_, label) => label);
  order.sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * classOrder.sign);
  const body = node("tbody", {}, ...order.map(classRow));
  byId("classes").replaceChildren(node("thead", {}, head), body);
}
function sortable(name, model, key) {
  const heading = node("th", { tabIndex: 0, scope: "col" }, name);
  heading.onclick = () => {
    const same = classOrder.key === key && classOrder.model === model;
    classOrder = { model, key, sign: same ? -classOrder.sign : key === "name" ? 1 : -1 };
    drawClasses();
  };
  heading.onkeydown = (event) => event.key === "Enter" && heading.onclick();
  return heading;
}
function classRow(label) {
  const row = node("tr", { tabIndex: 0 }, node("td", {}, swatch(label), data.classes[label].name));
  for (const model of data.models) {
    const figures = model.classes[label];
    const fill = node("i");
    fill.style.width = `${figures.pq ?? 0}%`;
    row.append(node("td", {}, node("span", { className: "bar" }, fill)));
    for (const [key] of columns) row.append(node("td", {}, key.length === 2 && key.endsWith("q") ? shown(figures[key]) : `${figures[key]}`));
  }
  row.onclick = () => { byId("filter").value = label; setFilter(`${label}`); byId("images").scrollIntoView(); };
  row.onkeydown = (event) => event.key === "Enter" && row.onclick();
  return row;
}

// Confusion ---------------------------------------------------------------------------------------
for (const model of data.models) {
  const used = data.classes.map((_, label) => label).filter((label) =>
    model.confusion[label].some(Boolean) || model.confusion.some((row) => row[label]));
  const wide = data.classes.length;
  const names = [...used.map((label) => data.classes[label].name), ...data.lost];
  const places = [...used, ...data.lost.map((_, index) => wide + index)];
  const head = node("tr", {}, node("th", {}, data.models.length > 1 ? model.name : "truth"), ...names.map((name) => node("th", { scope: "col" }, name)));
  const rows = [...used, wide].map((row) => {
    const name = row === wide ? "extra" : data.classes[row].name;
    const total = model.confusion[row].reduce((a, b) => a + b, 0);
    const cells = places.map((place, index) => {
      const count = model.confusion[row][place];
      const cell = node("td", { title: `${name} → ${names[index]}: ${count} of ${total}` }, count ? `${count}` : "");
      const right = place === row;
      if (count) cell.style.background = `rgba(${right ? GREEN : RED}, ${0.1 + (0.7 * count) / total})`;
      return cell;
    });
    return node("tr", {}, node("th", { scope: "row" }, name), ...cells);
  });
  byId("confusion").append(node("div", { className: "scroll" },
    node("table", { className: "matrix" }, node("thead", {}, head), node("tbody", {}, ...rows))));
}

// Images ------------------------------------------------------------------------------------------
const loaded = new Map();
const picture = (uri) => new Promise((done) => { const made = new Image(); made.onload = () => done(made); made.src = uri; });
function load(index) {
  if (!loaded.has(index)) {
    const waiting = loadParts(data.images[index]);
    loaded.set(index, waiting);
    waiting.then((parts) => { waiting.ready = parts; });
  }
  return loaded.get(index);
}
async function loadParts(image) {
  const photo = await picture(image.photo);
  const truth = await places(image.truth.map, image.size);
  const predictions = await Promise.all(image.predictions.map((one) => places(one.map, image.size)));
  return { photo, truth, predictions };
}
async function places(uri, [width, height]) {
  const canvas = node("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  context.drawImage(await picture(uri), 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data;
  return Uint16Array.from({ length: width * height }, (_, i) => pixels[4 * i] + 256 * pixels[4 * i + 1]);
}
function shade([r, g, b], place) {
  const factor = 0.75 + 0.5 * ((place * 0.618) % 1);
  return [r, g, b].map((v) => Math.min(255, v * factor));
}
async function draw(canvas, index) {
  const image = data.images[index], layer = layers[state.layer], parts = await load(index);
  if (layer !== layers[state.layer]) return;
  const [width, height] = image.size, context = canvas.getContext("2d");
  Object.assign(canvas, { width, height });
  context.drawImage(parts.photo, 0, 0);
  if (layer.truth || layer.model !== undefined) {
    const pixels = context.getImageData(0, 0, width, height);
    (layer.difference ? paintDifference : paintSegments)(pixels, image, parts, layer, width);
    context.putImageData(pixels, 0, 0);
  }
  canvas.dataset.layer = layer.name;
}
function blend(pixels, i, color, share) {
  for (let c = 0; c < 3; c++) pixels[4 * i + c] = (1 - share) * pixels[4 * i + c] + share * color[c];
}
function paintSegments({ data: pixels }, image, parts, layer, width) {
  const map = layer.truth ? parts.truth : parts.predictions[layer.model];
  const segments = layer.truth ? image.predictions[0].truth : image.predictions[layer.model].segments;
  map.forEach((place, i) => {
    if (!place) return blend(pixels, i, [0, 0, 0], 0.6);
    const { color, isthing } = data.classes[segments[place - 1][0]];
    const edge = place !== map[i + 1] || place !== map[i + width];
    blend(pixels, i, edge ? [255, 255, 255] : isthing ? shade(color, place) : color, edge ? 0.8 : 0.55);
  });
}
function paintDifference({ data: pixels }, image, parts, layer) {
  const { segments, truth } = image.predictions[layer.model], found = parts.predictions[layer.model];
  parts.truth.forEach((place, i) => {
    if (!place) return blend(pixels, i, [0, 0, 0], 0.6);
    const other = found[i];
    blend(pixels, i, other && segments[other - 1][0] === truth[place - 1][0] ? GREEN : RED, 0.45);
  });
}
function describe(index, x, y) {
  const image = data.images[index], layer = layers[state.layer], parts = loaded.get(index)?.ready;
  if (!parts) return "";
  const i = y * image.size[0] + x, model = layer.model ?? 0;
  const line = (title, place, segments) => {
    if (!place) return `${title}: void`;
    const [label, what, iou, score] = segments[place - 1];
    const known = score === null ? "" : `, score ${score.toFixed(2)}`;
    return `${title}: ${data.classes[label].name}, ${what}, IoU ${(100 * iou).toFixed(0)}%${known}`;
  };
  return [
    line("truth", parts.truth[i], image.predictions[model].truth),
    line(data.models[model].name, parts.predictions[model][i], image.predictions[model].segments),
  ].join("\n");
}
function hoverable(canvas, index) {
  canvas.onpointermove = (event) => {
    const box = canvas.getBoundingClientRect(), [width, height] = data.images[index].size;
    const x = Math.floor(((event.clientX - box.left) / box.width) * width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * height);
    const tip = byId("tip");
    tip.textContent = x >= 0 && y >= 0 && x < width && y < height ? describe(index, x, y) : "";
    tip.hidden = !tip.textContent;
    tip.style.left = `${Math.max(0, Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${event.clientY + 48 > innerHeight ? event.clientY - 52 : event.clientY + 14}px`;
  };
  canvas.onpointerleave = () => { byId("tip").hidden = true; };
}
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.dataset.visible = isIntersecting ? "1" : "";
    if (isIntersecting) redraw(target);
  }
}, { rootMargin: "300px" });
function redraw(card) {
  return draw(card.querySelector("canvas"), Number(card.dataset.index));
}
function card(index) {
  const image = data.images[index], [width, height] = image.size;
  const scores = image.predictions.map((one) => shown(one.pq)).join(" / ");
  const canvas = node("canvas", { width, height });
  const made = node("figure", { tabIndex: 0 }, canvas,
    node("figcaption", {}, node("span", {}, image.name), node("span", {}, `PQ ${scores}`)));
  made.dataset.index = index;
  made.onclick = () => enlarge(index);
  made.onfocus = () => { state.focus = state.order.indexOf(index); };
  hoverable(canvas, index);
  return made;
}
const cards = data.images.map((_, index) => card(index));
function has(image, label) {
  return image.predictions.some((one) => [...one.segments, ...one.truth].some((segment) => segment[0] === label));
}
function arrange() {
  const pq = (index) => data.images[index].predictions[0].pq ?? (state.sort === "worst" ? 101 : -1);
  const order = data.images.map((_, index) => index)
    .filter((index) => state.filter === "" || has(data.images[index], Number(state.filter)));
  if (state.sort === "name") order.sort((a, b) => data.images[a].name.localeCompare(data.images[b].name));
  else order.sort((a, b) => (state.sort === "worst" ? 1 : -1) * (pq(a) - pq(b)));
  state.order = order;
  byId("images").replaceChildren(...order.map((index) => cards[index]));
  byId("count").textContent = `${order.length} of ${data.images.length} images`;
}
function setFilter(label) { state.filter = label; arrange(); }
function setLayer(number) {
  state.layer = number;
  [...byId("layers").children].forEach((button, index) => button.setAttribute("aria-checked", index === number));
  cards.filter((made) => made.dataset.visible).forEach(redraw);
  if (byId("large").open) draw(byId("large").querySelector("canvas"), state.order[state.focus]);
}
function enlarge(index) {
  state.focus = state.order.indexOf(index);
  const canvas = node("canvas"), image = data.images[index];
  const scores = image.predictions.map((one) => shown(one.pq)).join(" / ");
  byId("large").replaceChildren(canvas, node("figcaption", {}, node("span", {}, image.name), node("span", {}, `PQ ${scores}`)));
  hoverable(canvas, index);
  draw(canvas, index);
  byId("large").append(byId("tip"));
  if (!byId("large").open) byId("large").showModal();
}
byId("large").onclose = () => { document.body.append(byId("tip")); byId("tip").hidden = true; };
byId("large").onclick = () => byId("large").close();
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "SELECT" || event.ctrlKey || event.metaKey || event.altKey) return;
  const number = Number(event.key);
  if (number >= 1 && number <= layers.length) return setLayer(number - 1);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) {
    state.focus = Math.max(0, Math.min(state.order.length - 1, state.focus + step));
    if (byId("large").open) enlarge(state.order[state.focus]);
    else cards[state.order[state.focus]]?.focus();
    event.preventDefault();
  }
  if (event.key === "Enter" && event.target.dataset?.index) enlarge(Number(event.target.dataset.index));
});
layers.forEach((layer, index) => {
  const button = node("button", { onclick: () => setLayer(index) }, `${index + 1} ${layer.name}`);
  button.setAttribute("role", "radio");
  byId("layers").append(button);
});
data.classes.forEach(({ name }, label) => byId("filter").append(node("option", { value: label }, name)));
byId("filter").onchange = (event) => setFilter(event.target.value);
byId("sort").onchange = (event) => { state.sort = event.target.value; arrange(); };
drawClasses();
arrange();
setLayer(2);
cards.forEach((made) => watcher.observe(made));
