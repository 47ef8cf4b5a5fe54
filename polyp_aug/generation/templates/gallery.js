"use strict";
(() => {
  const BATCH = 60;
  const SIZES = ["small", "medium", "large"];
  const SVG = "http://www.w3.org/2000/svg";
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const at = (id) => document.getElementById(id);
  const grid = at("grid"), detail = at("detail"), body = at("detail-body");
  const controls = ["search", "proposer", "synthesizer", "count", "size", "sort"].map(at);
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const number = (value) => value.toLocaleString("en-GB");
  const counted = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
  const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const tally = { loaded: 0, broken: 0 };
  // The last part of a path, cut in its middle: long names often differ only at their end.
  const brief = (path) => {
    const letters = Array.from(path.split("/").at(-1));
    return letters.length <= 28 ? letters.join("") : [...letters.slice(0, 12), "…", ...letters.slice(-14)].join("");
  };
  let hits = [], rendered = 0, current = -1;

  // Every element of the page is made here, from text and attributes: never from markup.
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const draw = (name, attributes, ...children) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  for (const tile of data.tiles) {
    tile.fresh = tile.objects.filter((object) => object.synthetic);
    const areas = tile.fresh.map((object) => object.area);
    tile.largest = Math.max(0, ...areas);
    tile.smallest = Math.min(Infinity, ...areas);
    const references = tile.fresh.map((object) => object.reference);
    tile.text = fold([`#${tile.sample}`, tile.file, tile.group, ...references].join("\n"));
  }

  function picture(source, alt, className) {
    const image = make("img", { alt, class: className, loading: "lazy", decoding: "async" });
    const count = (result) => { tally[result] += 1; root.dataset[result] = tally[result]; };
    image.addEventListener("load", () => count("loaded"));
    image.addEventListener("error", () => {
      count("broken");
      image.replaceWith(make("span", { class: "missing" }, `Picture not found: ${source}`));
    });
    image.setAttribute("src", source);
    return image;
  }

  function overlay(tile, labels) {
    const svg = draw("svg", { viewBox: `0 0 ${tile.width} ${tile.height}`, "aria-hidden": "true" });
    const size = Math.max(tile.width, tile.height) / 24;
    let index = 0;
    for (const object of tile.objects) {
      const [x, y, width, height] = object.box;
      const group = draw("g", { class: object.synthetic ? "new" : "old" });
      group.append(draw("rect", { class: "box", x, y, width, height }));
      if (object.path) {
        group.append(draw("path", { class: "halo", d: object.path }), draw("path", { class: "shape", d: object.path }));
      }
      if (object.synthetic) index += 1;
      if (labels && object.synthetic) {
        const attributes = { x: Math.max(x, size * 0.2), y: y > size * 1.2 ? y - size * 0.25 : y + size, "font-size": size };
        group.append(draw("text", attributes, String(index)));
      }
      svg.append(group);
    }
    return svg;
  }

  function stage(tile, alt, labels) {
    const ratio = tile.width / tile.height;
    const element = make("span", { class: `stage ${ratio >= 5 / 4 ? "wide" : "tall"}` });
    element.style.display = "block";
    element.style.aspectRatio = `${tile.width} / ${tile.height}`;
    element.style.setProperty("--ratio", ratio);
    const before = picture(tile.before, "", "before");
    const [x, y, width, height] = tile.box;
    before.style.left = `${(100 * x) / tile.width}%`;
    before.style.top = `${(100 * y) / tile.height}%`;
    before.style.width = `${(100 * width) / tile.width}%`;
    before.style.height = `${(100 * height) / tile.height}%`;
    element.append(picture(tile.after, alt, "after"), before, overlay(tile, labels));
    return element;
  }

  function holdButton(tile, target) {
    const button = make("button", { class: "hold", type: "button", title: "Hold to see the original",
      "aria-label": `Before, sample ${tile.sample}: hold to see the original` }, "Before");
    const hold = (on) => () => target.classList.toggle("holding", on);
    button.addEventListener("pointerdown", hold(true));
    for (const name of ["pointerup", "pointercancel", "pointerleave", "blur", "keyup"]) button.addEventListener(name, hold(false));
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    button.addEventListener("keydown", (event) => {
      if (event.key === " " || event.key === "Enter") { event.preventDefault(); hold(true)(); }
    });
    return button;
  }

  function tileElement(tile, place) {
    const polyps = counted(tile.fresh.length, data.noun);
    const shown = stage(tile, `Sample ${tile.sample}: ${polyps} in ${tile.file}`, false);
    const sizes = SIZES.filter((_, size) => tile.fresh.some((object) => object.size === size)).join(", ");
    const open = make("button", { class: "open", type: "button", "aria-haspopup": "dialog" },
      make("span", { class: "frame" }, shown),
      make("span", { class: "caption" },
        make("span", { class: "name", title: tile.file, dir: "auto" }, brief(tile.file)),
        make("span", { class: "what" }, make("span", {}, `#${tile.sample}`), make("span", {}, polyps), make("span", { class: "sizes" }, sizes))));
    open.addEventListener("click", () => show(place));
    return make("li", { class: "tile", "data-sample": tile.sample }, open, holdButton(tile, shown));
  }

  function renderMore(count = BATCH) {
    const end = Math.min(hits.length, rendered + count);
    const fragment = document.createDocumentFragment();
    for (; rendered < end; rendered += 1) fragment.append(tileElement(data.tiles[hits[rendered]], rendered));
    grid.append(fragment);
    at("more").hidden = rendered >= hits.length;
    root.dataset.tiles = rendered;
  }

  const ORDERS = {
    sample: (a, b) => a.sample - b.sample,
    largest: (a, b) => b.largest - a.largest,
    smallest: (a, b) => a.smallest - b.smallest,
    count: (a, b) => b.fresh.length - a.fresh.length,
    file: (a, b) => compare(a.file, b.file),
  };

  function refresh() {
    const [search, proposer, synthesizer, count, size, sort] = controls.map((control) => control.value);
    const words = fold(search).split(/\s+/).filter(Boolean);
    const fits = (tile) =>
      words.every((word) => tile.text.includes(word)) &&
      (count === "" || tile.fresh.length === Number(count)) &&
      ((proposer === "" && synthesizer === "" && size === "") || tile.fresh.some((object) =>
        (proposer === "" || object.proposer === proposer) &&
        (synthesizer === "" || object.synthesizer === synthesizer) &&
        (size === "" || object.size === Number(size))));
    const order = ORDERS[sort];
    hits = data.tiles.map((_, index) => index).filter((index) => fits(data.tiles[index]))
      .sort((a, b) => order(data.tiles[a], data.tiles[b]) || a - b);
    rendered = 0;
    grid.replaceChildren();
    renderMore();
    const all = data.tiles.length;
    at("shown").textContent = hits.length === all ? counted(all, "sample") : `${number(hits.length)} of ${counted(all, "sample")}`;
    at("empty").hidden = hits.length > 0 || all === 0;
    at("reset").hidden = words.length === 0 && [proposer, synthesizer, count, size].every((value) => value === "");
  }

  function facts(title, pairs) {
    const list = make("dl");
    for (const [name, value] of pairs) {
      const label = name.replaceAll("_", " ").replaceAll(".", " › ");
      list.append(make("dt", {}, label), make("dd", { dir: "auto" }, value));
    }
    return make("section", {}, make("h3", {}, title), list);
  }

  function objectFacts(object, tile, title) {
    const share = (100 * object.area) / (tile.width * tile.height);
    const box = object.box.map(number).join(", ");
    return facts(title, [
      ["category", object.category],
      ["area", `${number(object.area)} px, ${share.toPrecision(2)} % of the frame, ${SIZES[object.size]}`],
      ["box (x, y, width, height)", box],
      ...(object.facts || []),
    ]);
  }

  function show(place) {
    current = place;
    const tile = data.tiles[hits[place]];
    at("detail-title").textContent = `Sample ${tile.sample}`;
    at("detail-place").textContent = `${number(place + 1)} of ${number(hits.length)}`;
    at("previous").disabled = place === 0;
    at("next").disabled = place === hits.length - 1;
    const views = [["before", "Before", ""], ["mask", "Mask", " and boxes"], ["after", "After", ""]];
    const three = make("div", { class: "three" });
    for (const [name, title, more] of views) {
      const shown = stage(tile, `Sample ${tile.sample}, ${name}`, name === "mask");
      three.append(make("figure", {}, make("figcaption", {}, title, make("span", {}, more)),
        make("div", { class: "fit", "data-show": name }, shown)));
    }
    const files = make("p", { class: "files" }, make("a", { href: tile.after }, "Open the picture"),
      make("a", { href: tile.before }, "Open the original's crop"));
    const cards = make("div", { class: "cards" });
    cards.append(facts("Background", [["size", `${tile.width} × ${tile.height} px`], ...tile.facts]));
    const title = data.noun[0].toUpperCase() + data.noun.slice(1);
    tile.fresh.forEach((object, index) => cards.append(objectFacts(object, tile, `${title} ${index + 1}`)));
    for (const object of tile.objects) if (!object.synthetic) cards.append(objectFacts(object, tile, "Already there"));
    if (tile.rejections.length) {
      const list = make("ul", {}, ...tile.rejections.map((reason) => make("li", {}, reason)));
      cards.append(make("section", {}, make("h3", {}, "Rejected"), list));
    }
    body.replaceChildren(three, files, cards);
    body.scrollTop = 0;
    root.dataset.open = tile.sample;
    document.body.classList.add("reading");
    history.replaceState(null, "", `#sample-${tile.sample}`);
    if (!detail.open) { detail.showModal(); body.focus({ preventScroll: true }); }
  }

  function step(change) {
    const place = current + change;
    if (place >= 0 && place < hits.length) show(place);
  }

  function openFromAddress() {
    const match = /^#sample-(\d+)$/.exec(location.hash);
    const place = match ? hits.findIndex((index) => data.tiles[index].sample === Number(match[1])) : -1;
    if (place >= 0) show(place);
  }

  detail.addEventListener("close", () => {
    delete root.dataset.open;
    document.body.classList.remove("reading");
    history.replaceState(null, "", location.pathname + location.search);
    if (current >= rendered) renderMore(current + 1 - rendered);
    const button = grid.children[current]?.querySelector(".open");
    if (button) { button.scrollIntoView({ block: "nearest" }); button.focus(); }
  });
  detail.addEventListener("click", (event) => { if (event.target === detail) detail.close(); });
  detail.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.key === "ArrowLeft") { event.preventDefault(); step(-1); }
    if (event.key === "ArrowRight") { event.preventDefault(); step(1); }
  });
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  at("close").addEventListener("click", () => detail.close());
  at("more").addEventListener("click", () => renderMore());
  at("reset").addEventListener("click", () => {
    for (const control of controls) if (control.id !== "sort") control.value = "";
    refresh();
    at("search").focus();
  });
  for (const control of controls) control.addEventListener("input", refresh);
  for (const choice of document.getElementsByName("view")) {
    choice.addEventListener("change", () => setView(choice.value));
    if (choice.checked) setView(choice.value);
  }
  function setView(view) { grid.dataset.show = view; document.body.dataset.view = view; }
  addEventListener("hashchange", openFromAddress);

  function fillChoices(id, value, label) {
    const counts = new Map();
    for (const tile of data.tiles) for (const item of new Set(value(tile))) counts.set(item, (counts.get(item) || 0) + 1);
    const items = [...counts].filter(([item]) => item !== "").sort(([a], [b]) => compare(a, b));
    for (const [item, count] of items) at(id).append(make("option", { value: item }, `${label(item)} (${number(count)})`));
  }
  fillChoices("proposer", (tile) => tile.fresh.map((object) => object.proposer), String);
  fillChoices("synthesizer", (tile) => tile.fresh.map((object) => object.synthesizer), String);
  fillChoices("count", (tile) => [tile.fresh.length], String);

  at("summary").textContent = [counted(data.made, "sample"), counted(data.synthetic, data.noun),
    `${number(data.skipped)} skipped`].join(" · ");
  if (data.tiles.length < data.made) {
    at("cut").hidden = false;
    at("cut").textContent = `The first ${number(data.tiles.length)} of ${number(data.made)} samples are on this page; manifest.jsonl has all of them.`;
  }
  if (data.skips.length) {
    at("skipped").hidden = false;
    const cut = data.skips.length < data.skipped ? `The first ${number(data.skips.length)} of ` : "";
    at("skipped-note").textContent = `${cut}${counted(data.skipped, "sample")} gave no picture.`;
    for (const skip of data.skips) {
      at("skips").append(make("dt", {}, `#${skip.sample}`), ...skip.reasons.map((reason) => make("dd", { dir: "auto" }, reason)));
    }
  }
  const wide = matchMedia("(min-width: 900px)");
  const unfold = () => { document.querySelector(".filters").open = wide.matches; };
  wide.addEventListener("change", unfold);
  unfold();

  refresh();
  new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) renderMore(); }, { rootMargin: "800px" })
    .observe(at("more"));
  openFromAddress();
  root.dataset.state = "ready";
})();
