"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const data = JSON.parse(at("data").textContent);
  const sources = all("script.picture");
  const { pictures, questions } = data;
  const ratings = questions.filter((question) => question !== "origin");
  const fieldset = (question) => document.querySelector(`fieldset[data-question="${question}"]`);
  // Larger than so many times their pixels, pictures would only look blurred.
  const LARGEST = 2.5;
  const PREFIX = `reader-study/${data.study}`;
  let state = null, place = 0, view = "start", current = "", since = null;

  // What is kept in the browser: who read last, and for each reader the answers.
  const stored = (key) => {
    try { return JSON.parse(localStorage.getItem(key)); } catch { return null; }
  };
  const store = (key, value) => {
    try { localStorage.setItem(key, JSON.stringify(value)); } catch { at("unkept").hidden = false; }
  };
  const tidy = (name) => name.normalize("NFC").replace(/\s+/gu, " ").trim();
  const sessionKey = (reader) => `${PREFIX}/${reader.toLowerCase()}`;
  const save = () => { if (state) store(sessionKey(state.reader), state); };

  const answersOf = (number) => state.answers[pictures[number].id] ?? {};
  const complete = (number) => questions.every((question) => answersOf(number)[question] !== undefined);
  const unanswered = () => pictures.map((_, number) => number).filter((number) => !complete(number));
  const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

  function prepare() {
    for (const element of all("[data-question]")) if (!questions.includes(element.dataset.question)) element.remove();
    for (const element of all("[data-for]")) if (!questions.includes(element.dataset.for)) element.remove();
    if (!ratings.length) for (const element of all(".scale")) element.remove();
    at("count").textContent = counted(pictures.length, "picture");
    at("caption").hidden = !questions.includes("text");
    at("toggle").hidden = !questions.includes("mask");
    at("outline").setAttribute("viewBox", `0 0 ${data.size} ${data.size}`);
    at("picture").parentElement.style.maxWidth = `${LARGEST * data.size}px`;
    for (const question of ratings) {
      const row = document.createElement("div");
      row.className = "row";
      for (let value = 1; value <= 5; value += 1) {
        const label = document.createElement("label"), input = document.createElement("input"), shown = document.createElement("span");
        input.type = "radio";
        input.name = question;
        input.value = value;
        if (value === 1) input.setAttribute("aria-label", "1, poor");
        if (value === 5) input.setAttribute("aria-label", "5, excellent");
        shown.textContent = value;
        label.append(input, shown);
        row.append(label);
      }
      fieldset(question).append(row);
      const letter = document.createElement("kbd");
      letter.textContent = fieldset(question).dataset.key.toUpperCase();
      at("letters").append(letter, " ");
      fieldset(question).addEventListener("focusin", () => { if (!state.signed) mark(question); });
    }
    if (ratings.length < 2) at("letters")?.parentElement.remove();
  }

  // How long a picture was looked at: only while it is on the screen.
  function count() {
    if (since === null || !state || state.signed) { since = null; return; }
    const id = pictures[place].id;
    const before = state.times[id] ?? 0;
    state.times[id] = before + Math.round(performance.now() - since);
    since = null;
  }
  function time() { since = view === "reading" && !document.hidden ? performance.now() : null; }

  function open(name) {
    view = name;
    document.documentElement.dataset.view = name;
    for (const section of ["start", "reading", "finish"]) at(section).hidden = section !== name;
    at("who").hidden = document.querySelector(".done").hidden = name === "start";
    scrollTo(0, 0);
  }

  function mark(question) {
    current = question;
    for (const other of ratings) fieldset(other).classList.toggle("current", other === question && ratings.length > 1);
  }

  function outline(on) {
    at("outline").toggleAttribute("hidden", !on);
    at("toggle").setAttribute("aria-pressed", String(on));
  }

  const address = (number) => `data:image/jpeg;base64,${sources[number].textContent}`;

  function refresh() {
    const done = pictures.length - unanswered().length;
    at("reader-shown").textContent = state.reader;
    at("progress").max = pictures.length;
    at("progress").value = done;
    at("answered").textContent = `${done} of ${pictures.length} answered`;
    for (const question of questions) {
      const value = answersOf(place)[question];
      for (const input of fieldset(question).querySelectorAll("input")) input.checked = input.value === String(value);
      fieldset(question).disabled = Boolean(state.signed);
    }
    at("sheet-study").textContent = `${document.title} (study ${data.study})`;
    at("sheet-reader").textContent = `Reader: ${state.reader}`;
    at("sheet-state").textContent = state.signed
      ? `Signed ${state.signed}. Digest: ${at("digest").textContent}` : `${done} of ${pictures.length} answered, not signed.`;
  }

  function show(number) {
    count();
    place = Math.max(0, Math.min(number, pictures.length - 1));
    if (view !== "reading") open("reading");
    at("picture").src = address(place);
    at("picture").alt = `Picture ${place + 1}, to be judged`;
    at("place").textContent = `Picture ${place + 1} of ${pictures.length}`;
    at("caption").textContent = pictures[place].caption;
    for (const path of all("#outline path")) path.setAttribute("d", pictures[place].outline);
    outline(false);
    at("previous").setAttribute("aria-disabled", String(place === 0));
    mark(ratings.find((question) => answersOf(place)[question] === undefined) ?? ratings[0] ?? "");
    state.place = place;
    refresh();
    save();
    time();
    // The next one is decoded while this one is looked at.
    if (place + 1 < pictures.length) new Image().src = address(place + 1);
  }

  function answer(question, value) {
    if (state.signed || !questions.includes(question)) return;
    const id = pictures[place].id;
    state.answers[id] = { ...state.answers[id], [question]: value };
    if (question === current) mark(ratings.slice(ratings.indexOf(current) + 1)
      .find((other) => answersOf(place)[other] === undefined) ?? current);
    refresh();
    save();
  }

  function finish() {
    count();
    open("finish");
    const open_ = unanswered();
    at("incomplete").hidden = !open_.length;
    at("sign").hidden = Boolean(open_.length || state.signed);
    at("signed").hidden = !state.signed;
    at("missing").textContent = `${counted(open_.length, "picture")} of ${pictures.length} ${open_.length === 1 ? "is" : "are"} not answered yet.`;
    at("go").onclick = () => { show(open_[0]); at("place").focus(); };
    if (state.signed) {
      at("signed-by").textContent = state.reader;
      at("signed-at").textContent = new Date(state.signed).toLocaleString("en-GB");
      at("file-name").textContent = fileName();
      at("digest").textContent = signedAnswers().digest;
    }
    refresh();
    save();
    at("finish-title").focus();
  }

  // As Python's json.dumps(value, sort_keys=True, separators=(",", ":")) writes it.
  function canonical(value) {
    const sorted = (_, item) => item && typeof item === "object" && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1))) : item;
    const hexadecimal = (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
    return JSON.stringify(value, sorted).replace(/[^ -~]/g, hexadecimal);
  }

  function signedAnswers() {
    const content = {
      format: 1,
      study: data.study,
      reader: state.reader,
      started: state.started,
      signed: state.signed,
      answers: pictures.map(({ id }) => ({ id, milliseconds: state.times[id] ?? 0, ...state.answers[id] })),
    };
    return { ...content, digest: sha256(canonical(content)) };
  }

  function fileName() {
    const letters = state.reader.normalize("NFKD").replace(/\p{M}/gu, "").replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "");
    return `answers_${data.study}_${letters || "reader"}.json`;
  }

  function download() {
    const link = document.createElement("a");
    const file = new Blob([`${JSON.stringify(signedAnswers(), null, 1)}\n`], { type: "application/json" });
    link.href = URL.createObjectURL(file);
    link.download = fileName();
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  function begin(name) {
    const reader = tidy(name);
    if (!reader) return;
    const kept = stored(sessionKey(reader));
    state = kept?.answers && kept.times ? kept : { reader, started: new Date().toISOString(), signed: "", place: 0, answers: {}, times: {} };
    store(PREFIX, { reader: state.reader });
    if (state.signed) finish(); else show(state.place ?? 0);
  }

  const toggle = () => outline(at("outline").hasAttribute("hidden"));
  const next = () => { if (place + 1 < pictures.length) show(place + 1); else finish(); };
  const nextOpen = () => {
    const open_ = unanswered();
    const found = open_.find((number) => number > place) ?? open_[0];
    if (found === undefined) finish(); else show(found);
  };

  const KEYS = {
    r: () => answer("origin", "real"),
    s: () => answer("origin", "synthetic"),
    ArrowLeft: () => show(place - 1),
    ArrowRight: next,
    u: nextOpen,
    e: finish,
  };
  if (questions.includes("mask")) KEYS.m = toggle;
  for (let value = 1; value <= 5; value += 1) KEYS[value] = () => { if (current) answer(current, value); };
  for (const question of ratings) KEYS[fieldset(question).dataset.key] = () => { if (!state.signed) mark(question); };

  prepare();
  at("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    begin(at("name").value);
    if (view === "reading") at("place").focus();
  });
  for (const element of all("fieldset")) {
    element.addEventListener("change", ({ target }) =>
      answer(target.name, target.name === "origin" ? target.value : Number(target.value)));
  }
  at("previous").addEventListener("click", () => show(place - 1));
  at("next").addEventListener("click", next);
  at("open").addEventListener("click", nextOpen);
  at("end").addEventListener("click", finish);
  at("toggle").addEventListener("click", toggle);
  at("back").addEventListener("click", () => { show(place); at("place").focus(); });
  at("change").addEventListener("click", () => {
    count();
    save();
    state = null;
    store(PREFIX, { reader: "" });
    open("start");
    at("name").value = "";
    at("name").focus();
  });
  at("sign").addEventListener("submit", (event) => {
    event.preventDefault();
    state.signed = new Date().toISOString();
    save();
    finish();
    download();
  });
  at("save").addEventListener("click", download);
  document.addEventListener("keydown", (event) => {
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (view !== "reading" || !plain || !act || !at("shortcuts").checked) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("visibilitychange", () => {
    count();
    save();
    time();
  });
  addEventListener("pagehide", () => { count(); save(); });
  addEventListener("beforeunload", (event) => {
    if (state && !at("unkept").hidden) event.preventDefault();
  });
  // The same study in another tab of this browser.
  addEventListener("storage", (event) => {
    if (!state || event.key !== sessionKey(state.reader)) return;
    const kept = stored(event.key);
    if (!kept) return;
    state = kept;
    if (view === "finish") finish(); else refresh();
  });

  // Told before the first answer, not after it.
  const last = stored(PREFIX)?.reader ?? "";
  store(PREFIX, { reader: last });
  if (last) begin(last); else open("start");
})();
