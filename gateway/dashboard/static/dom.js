// Elements from values. Text is always a text node: nothing that others chose is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `properties`: `class`, `on…` handlers, booleans and attributes; children: nodes, text, lists, nothing. */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false && child !== "");
}

/** Replace what is in an element. */
export function put(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/** Set an element's text if it is another one, so that nothing is selected or announced again for nothing. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
  return element;
}

/**
 * Keeps children of `container` in step with a list: `show(items)`. Each item has a key; `make(item)` gives an element,
 * and `update(element, item)` is called for it now and whenever it changed, so that focus and what is open stay.
 */
export function keyed(container, { key, make, update = () => {}, empty }) {
  const known = new Map();
  return (items) => {
    const wanted = items.map((item) => {
      const name = key(item);
      let entry = known.get(name);
      if (!entry) known.set(name, (entry = { element: make(item), last: "" }));
      const now = JSON.stringify(item);
      if (entry.last !== now) {
        entry.last = now;
        update(entry.element, item);
      }
      return [name, entry.element];
    });
    const names = new Set(wanted.map(([name]) => name));
    for (const [name, entry] of known) {
      if (names.has(name)) continue;
      entry.element.remove();
      known.delete(name);
    }
    if (empty) empty.hidden = items.length > 0;
    let at = container.firstElementChild;
    for (const [, element] of wanted) {
      if (element === at) at = at.nextElementSibling;
      else container.insertBefore(element, at);
    }
  };
}
