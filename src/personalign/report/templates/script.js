"use strict";
// The browser of samples. Texts enter the page as text nodes only, never as markup; of the list only
// the rows in view exist.
(() => {
  const ROW = 56, AIR = 6;
  const [PERSONA, TASK, SAMPLE, PROMPT, REPLIES, SCORES, CHANGES, CATEGORY, JUDGED, FOLDED] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("data").textContent);
  if (!data.entries.length) return;
  const { conditions, texts, entries, words } = data;
  const own = (table, key) => (Object.hasOwn(table, key) ? table[key] : undefined);
  const name = (kind, value) => own(data.names[kind] ?? {}, value) ?? value;
  const list = at("list"), spacer = at("spacer"), detail = at("detail");
  const by = { persona: at("by-persona"), task: at("by-task"), category: at("by-category"), change: at("by-change"), text: at("by-text") };
  const key = (e) => "sample-" + [e[PERSONA], e[TASK], e[SAMPLE]].map(encodeURIComponent).join("/");
  const byKey = new Map(entries.map((e) => [key(e), e]));
  let shown = entries, open = null, haystacks = null;

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
    made.append(...children.filter((c) => c !== null));
    return made;
  }

  function fill(select, values, kind) {
    for (const value of new Set(values))
      if (value) select.append(element("option", { value }, name(kind, value)));
  }

  // What the search looks through, made when first needed.
  function haystack(i) {
    haystacks ??= new Array(entries.length);
    return (haystacks[i] ??= [entries[i][SAMPLE], entries[i][PROMPT], ...entries[i][REPLIES]]
      .map((t) => (typeof t === "number" ? texts[t] ?? "" : t)).join("\n").toLowerCase());
  }

  function fits(e, i, wanted) {
    return (!by.persona.value || e[PERSONA] === by.persona.value)
      && (!by.task.value || e[TASK] === by.task.value)
      && (!by.category.value || e[CATEGORY] === by.category.value)
      && (!by.change.value || (by.change.value === "any" ? e[CHANGES] !== "" : e[CHANGES].includes(by.change.value)))
      && (!wanted || haystack(i).includes(wanted));
  }

  function filter() {
    const wanted = by.text.value.trim().toLowerCase();
    shown = entries.filter((e, i) => fits(e, i, wanted));
    at("count").textContent = shown.length
      ? words.count.replace("{n}", shown.length).replace("{all}", entries.length) : words.none;
    list.scrollTop = 0;
    spacer.style.height = `${shown.length * ROW}px`;
    if (!shown.includes(open)) choose(shown[0] ?? null);
    else paint();
  }

  function paint() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - AIR);
    const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + AIR);
    spacer.replaceChildren(...shown.slice(first, last).map((e, k) => row(e, first + k)));
    const active = spacer.querySelector('[aria-selected="true"]');
    if (active) list.setAttribute("aria-activedescendant", active.id);
    else list.removeAttribute("aria-activedescendant");
  }

  function row(e, i) {
    const made = element("div", {
      class: "item", id: `row-${i}`, role: "option", "aria-selected": String(e === open),
      "aria-posinset": i + 1, "aria-setsize": shown.length,
    },
      element("span", {}, (folded(e, -1) ? undefined : texts[e[PROMPT]]) ?? e[SAMPLE]),
      element("span", { class: "about" }, [e[PERSONA], name("task", e[TASK]), e[CATEGORY] || e[SAMPLE]].filter(Boolean).join(" · ")));
    made.style.top = `${i * ROW}px`;
    made.addEventListener("click", () => { choose(e); remember(); });
    return made;
  }

  function choose(e) {
    open = e;
    detail.replaceChildren(...(e ? page(e) : []));
    reveal();
    paint();
  }

  function reveal() {
    const top = shown.indexOf(open) * ROW;
    if (top < 0) return;
    if (top < list.scrollTop) list.scrollTop = top;
    if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }

  function page(e) {
    const text = texts[e[PROMPT]];
    return [
      element("h3", { id: key(e) }, [e[PERSONA], e[SAMPLE]].filter(Boolean).join(" · ")),
      element("div", { class: "tools" }, step(-1, words.previous), step(1, words.next),
        element("a", { href: `#${key(e)}` }, words.link)),
      read("prompt", text ?? words.noprompt, text !== undefined && folded(e, -1)),
      element("div", { class: "replies" }, ...conditions.map((c, k) => reply(e, c, k, text !== undefined))),
    ];
  }

  function reply(e, condition, k, spoken) {
    const hidden = own(data.unverified, e[PERSONA])?.includes(condition);
    const said = texts[e[REPLIES][k]];
    return element("section", { class: `reply ${condition.replaceAll("+", "-")}` },
      element("h4", {}, name("condition", condition),
        hidden ? element("span", { class: "mark" }, words.unverified) : null),
      said !== undefined ? read("said-text", said, folded(e, k)) : spoken ? element("p", { class: "none" }, words.noreply) : null,
      verdict(e, k),
      scores(e, k));
  }

  // Text that may be harmful is read only by who asks for it.
  const folded = (e, k) => Boolean(e[FOLDED].at(k));

  function read(kind, text, hide) {
    const shown = element("p", { class: kind }, text);
    return hide ? element("details", { class: "fold" }, element("summary", {}, words.fold), shown) : shown;
  }

  function verdict(e, k) {
    const said = texts[e[JUDGED][k]];
    return said === undefined ? null
      : element("details", { class: "judged" }, element("summary", {}, words.judged), element("p", {}, said));
  }

  function scores(e, k) {
    const made = element("dl", { class: "scores" });
    for (const [metric, values] of Object.entries(e[SCORES]))
      if (values[k] !== null)
        made.append(element("dt", {}, name("metric", metric)), element("dd", {}, score(values, k)));
    return made.children.length ? made : null;
  }

  function score(values, k) {
    if (values.every((v) => v === null || v === 0 || v === 1)) return values[k] ? words.yes : words.no;
    return values[k].toFixed(2).replace("-", "−");
  }

  function step(by, label) {
    const made = element("button", { type: "button" }, label);
    const next = shown[shown.indexOf(open) + by];
    made.disabled = next === undefined;
    made.addEventListener("click", () => { choose(next); remember(); });
    return made;
  }

  function remember() {
    history.replaceState(null, "", `#${key(open)}`);
  }

  // A link to a sample opens it whatever the filters say.
  function follow() {
    const found = byKey.get(location.hash.slice(1));
    if (!found) return;
    if (!shown.includes(found)) {
      for (const control of Object.values(by)) control.value = "";
      filter();
    }
    choose(found);
    at("samples").scrollIntoView();
  }

  let waiting = 0, drawing = 0;
  by.text.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  for (const select of [by.persona, by.task, by.category, by.change]) select.addEventListener("change", filter);
  by.text.form.addEventListener("submit", (event) => event.preventDefault());
  list.addEventListener("scroll", () => { drawing ||= requestAnimationFrame(() => { drawing = 0; paint(); }); });
  list.addEventListener("keydown", (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined || !shown.length) return;
    event.preventDefault();
    const to = Math.min(shown.length - 1, Math.max(0, shown.indexOf(open) + move));
    choose(shown[to]);
    remember();
  });
  addEventListener("hashchange", follow);
  addEventListener("resize", paint);
  fill(by.persona, entries.map((e) => e[PERSONA]), "persona");
  fill(by.task, entries.map((e) => e[TASK]), "task");
  fill(by.category, entries.map((e) => e[CATEGORY]), "category");
  at("browser").hidden = false;
  filter();
  follow();
})();
