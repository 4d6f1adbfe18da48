// Functions that look at the page and return what they find. They run in the browser, in one function body.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const words = (e) => e.textContent.replace(/\s+/g, " ").trim();
const shown = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest(".sr");
const called = (e) => e.tagName.toLowerCase() + " " + (e.getAttribute("href") || e.getAttribute("name") || words(e).slice(0, 40));

function counted() {
  const tiles = {};
  for (const tile of all(".tile")) {
    const what = tile.querySelector(".what").cloneNode(true);
    all("[aria-hidden]", what).forEach((e) => e.remove());
    tiles[words(what)] = Number(words(tile.querySelector(".n")));
  }
  return {
    Tiles: tiles,
    Rows: rows().length,
    Emergencies: all(".emergencies article").length,
    Open: all("section[aria-labelledby=open] article").length,
    Debts: all(".debts tbody tr").length,
    Asking: all(".needs .asks").length,
    Stepped: all("ol.steps").length,
    Current: all("ol.steps [aria-current=step]").length,
  };
}

function rows() {
  return all(".inventory tbody tr").map((tr) => words(tr.querySelector("th a")));
}

// misbuilt lists what a reader who cannot see the page would miss.
function misbuilt() {
  const wrong = [];
  const want = (ok, text) => ok || wrong.push(text);
  want(document.doctype && document.documentElement.lang === "en" && document.title, "no doctype, language or title");
  want(all("h1").length === 1, "not one h1");
  for (const landmark of ["body > header", "body > main", "body > footer"]) want(all(landmark).length === 1, "not one " + landmark);
  let level = 0;
  for (const h of all("h1,h2,h3,h4,h5,h6")) {
    want(Number(h.tagName[1]) <= level + 1, "a level is left out before: " + words(h));
    want(words(h), "an empty heading");
    level = Number(h.tagName[1]);
  }
  const ids = all("[id]").map((e) => e.id);
  want(new Set(ids).size === ids.length, "an id twice: " + ids);
  for (const e of all("[aria-labelledby]")) want(document.getElementById(e.getAttribute("aria-labelledby")), "a label that is not there");
  for (const e of all("section")) want(e.getAttribute("aria-labelledby"), "a section without a name");
  for (const e of all("nav,form")) want(e.getAttribute("aria-label"), "no name: " + e.tagName);
  for (const e of all("input:not([type=hidden]),select")) want(e.labels.length === 1, "no label: " + e.name);
  for (const table of all("table")) {
    want(table.caption && words(table.caption), "a table without a caption");
    for (const th of all("th", table)) want(["col", "row"].includes(th.scope), "a header without a scope: " + words(th));
    for (const tr of all("tbody tr", table)) {
      want(tr.querySelectorAll("th[scope=row]").length === 1, "a row without a header");
      want(tr.children.length === all("thead th", table).length, "a row of another length");
    }
  }
  for (const e of all("a")) want(words(e) && e.getAttribute("href"), "an empty link");
  for (const e of all("time")) want(!Number.isNaN(Date.parse(e.dateTime)), "a time that is none: " + e.outerHTML);
  for (const e of all(".badge")) want(words(e).length > 3, "a badge without words");
  for (const e of all("svg")) want(e.getAttribute("aria-hidden") === "true", "a drawing without words");
  want(all("script,link,img,iframe,object,[style],[onclick]").length === 0, "something that runs or loads");
  want(document.styleSheets.length === 1 && document.styleSheets[0].cssRules.length > 50, "the style is not applied");
  return wrong;
}

// usable is what can be used with a keyboard, in the order of the page.
function usable() {
  return all("a[href],button,input:not([type=hidden]),select,[tabindex='0']").filter(shown).map(called);
}

function focused() {
  const e = document.activeElement;
  if (!e || e === document.body) return "";
  return e.tagName === "MAIN" ? "main" : called(e);
}

// dim lists why it cannot be seen where the focus is.
function dim() {
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect(), wrong = [];
  if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) wrong.push("no outline");
  if (box.width < 2 || box.height < 2 || box.bottom < 0 || box.top > innerHeight || box.right < 0 || box.left > innerWidth) wrong.push("out of sight");
  const behind = ground(e.parentElement), line = parse(style.outlineColor);
  if (ratio(over(line, behind), behind) < 3) wrong.push("an outline that does not stand out: " + style.outlineColor);
  return wrong;
}

// tooWide lists what makes the page scroll sideways.
function tooWide() {
  const wrong = [];
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page is " + document.documentElement.scrollWidth + " wide");
  for (const e of all("body *")) {
    if (!shown(e)) continue;
    const box = e.getBoundingClientRect();
    if (box.width > 0 && (box.right > innerWidth + 0.5 || box.left < -0.5)) wrong.push(called(e) + ": " + box.left + " to " + box.right);
  }
  return wrong.slice(0, 10);
}

function moving() {
  return all("*").filter((e) => {
    const s = getComputedStyle(e);
    return s.animationName !== "none" || parseFloat(s.transitionDuration) > 0;
  }).map(called);
}

// Colours, as WCAG 2 compares them.
function parse(text) {
  const n = (text.match(/[\d.]+/g) || ["0", "0", "0", "0"]).map(Number);
  return { rgb: n.slice(0, 3), alpha: n.length > 3 ? n[3] : 1 };
}

function over(top, below) {
  return { rgb: top.rgb.map((c, i) => c * top.alpha + below.rgb[i] * (1 - top.alpha)), alpha: 1 };
}

function luminance(colour) {
  const [r, g, b] = colour.rgb.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function ratio(a, b) {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

// ground is the colour behind the content of e.
function ground(e) {
  const layers = [];
  for (; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour.alpha > 0) layers.push(colour);
    if (colour.alpha === 1) break;
  }
  return layers.reduceRight((below, top) => over(top, below), { rgb: [255, 255, 255], alpha: 1 });
}

// faint lists the texts whose contrast with what is behind them is less than least, generated and placeholder texts too.
function faint(least) {
  const wrong = new Set();
  let looked = 0;
  const check = (e, style, text) => {
    looked++;
    const behind = ground(e), r = ratio(over(parse(style.color), behind), behind);
    if (r < least || Number(style.opacity) < 1) wrong.add(called(e) + ": " + text + ": " + r.toFixed(2));
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), e = walker.currentNode.parentElement;
    if (text && shown(e)) check(e, getComputedStyle(e), text);
  }
  for (const e of all("body *")) {
    if (!shown(e)) continue;
    for (const pseudo of ["::before", "::after"]) {
      const style = getComputedStyle(e, pseudo);
      if (!["none", "normal", '""'].includes(style.content) && style.display !== "none") check(e, style, style.content);
    }
    if (e.placeholder) check(e, getComputedStyle(e, "::placeholder"), e.placeholder);
  }
  if (looked < 20) wrong.add("hardly any text");
  return [...wrong].slice(0, 10);
}
