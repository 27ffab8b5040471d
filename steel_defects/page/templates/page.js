"use strict";
(() => {
  for (const element of document.querySelectorAll("[data-scripted]")) {
    element.hidden = false;
    element.addEventListener("submit", (event) => event.preventDefault());
  }

  // A switch is one of several for its layer; each moves the others and acts on the whole page.
  const switches = [...document.querySelectorAll("[data-layer]")];
  for (const box of switches) {
    box.addEventListener("change", () => {
      for (const other of switches) {
        if (other.dataset.layer === box.dataset.layer) other.checked = box.checked;
      }
      document.body.classList.toggle(`without-${box.dataset.layer}`, !box.checked);
    });
  }

  const data = document.getElementById("page-data");
  if (!data) return;
  const { groups, classes, colours, words, pictures } = JSON.parse(data.textContent);
  const all = pictures.flatMap((picture) => picture.shown.map((shown) => ({ picture, ...shown })));

  const STEP = 24;
  const choice = document.getElementById("page-choice").elements;
  const list = document.getElementById("page-cards");
  const more = document.getElementById("page-more");
  const count = document.getElementById("page-count");
  const template = document.getElementById("page-card").content.firstElementChild;
  let chosen = [];

  const isClass = () => !["all", "clean"].includes(choice.class.value);
  const classScore = (one) => one.classScores.find(([c]) => c === Number(choice.class.value))?.[1] ?? null;
  const score = (one) => (isClass() ? classScore(one) : one.score);

  function ofClass(one) {
    if (choice.class.value === "all") return true;
    if (choice.class.value === "clean") return one.picture.classes.length === 0;
    return score(one) !== null || one.picture.classes.includes(Number(choice.class.value));
  }

  function inRange(one) {
    const least = choice.least.value === "" ? 0 : choice.least.valueAsNumber;
    const most = choice.most.value === "" ? 1 : choice.most.valueAsNumber;
    const value = score(one);
    return value === null ? least <= 0 && most >= 1 : least <= value && value <= most;
  }

  function matches(one) {
    const text = choice.text.value.trim().toLowerCase();
    const ofGroup = choice.group.value === "all" || one.group === Number(choice.group.value);
    return ofGroup && ofClass(one) && inRange(one) && one.picture.id.toLowerCase().includes(text);
  }

  function byName(a, b) {
    if (a.picture.id !== b.picture.id) return a.picture.id < b.picture.id ? -1 : 1;
    return a.group - b.group;
  }

  function inOrder(a, b) {
    if (choice.sort.value === "name") return byName(a, b);
    const [first, second] = [score(a), score(b)];
    if (first === second) return byName(a, b);
    if (first === null || second === null) return first === null ? 1 : -1;
    return (choice.sort.value === "worst") === words.lowIsWorst ? first - second : second - first;
  }

  function classItem([c, , text]) {
    const item = document.createElement("li");
    const chip = document.createElement("span");
    chip.className = "chip";
    chip.style.background = colours[c];
    item.append(chip, `${classes[c]} ${text}`);
    return item;
  }

  function fill(element, content) {
    if (content.length) element.append(...content);
    else element.remove();
  }

  function card(one) {
    const { picture } = one;
    const item = template.cloneNode(true);
    const part = (selector) => item.querySelector(selector);
    part(".layers").style.aspectRatio = `${picture.width} / ${picture.height}`;
    part(".base").src = picture.image;
    const names = { "{id}": picture.id, "{group}": groups[one.group] };
    part(".base").alt = words.alt.replace(/\{id\}|\{group\}/g, (place) => names[place]);
    part(".truth").src = picture.truth;
    part(".prediction").src = one.overlay;
    part(".image-id").textContent = picture.id;
    part(".score").textContent = one.verdict;
    part(".group").textContent = groups[one.group];
    fill(part(".remark"), one.note ? [one.note] : []);
    fill(part(".class-scores"), one.classScores.map(classItem));
    const truth = `${words.classes}${picture.classes.map((c) => classes[c]).join(", ") || "no defect"}`;
    part(".true-classes").textContent = [truth, picture.caption].filter(Boolean).join(" · ");
    return item;
  }

  function show() {
    const first = list.children.length;
    list.append(...chosen.slice(first, first + STEP).map(card));
    const shown = list.children.length;
    more.hidden = shown === chosen.length;
    const rest = more.hidden ? "shown" : `match, ${shown} shown`;
    count.textContent = `${chosen.length} of ${all.length} ${rest}`;
    return list.children[first];
  }

  function choose() {
    chosen = all.filter(matches).sort(inOrder);
    list.replaceChildren();
    show();
  }

  more.addEventListener("click", () => {
    // The button moves away or hides: the keyboard goes on at the first new card.
    const card = show();
    card.tabIndex = -1;
    card.focus();
  });
  document.getElementById("page-choice").addEventListener("input", choose);
  choose();
})();
