// The page: how one gets in, the frame around the views, which of them is shown, and the keyboard.

import { forgetKey, key, logIn, logOut, whenLoggedOut } from "./api.js";
import { h, put, text } from "./dom.js";
import { duration, rate } from "./format.js";
import * as store from "./store.js";
import { badge, copyable, dialog } from "./widgets.js";
import contact from "./views/contact.js";
import contacts from "./views/contacts.js";
import invites from "./views/invites.js";
import logs from "./views/logs.js";
import network from "./views/network.js";
import overview from "./views/overview.js";
import services from "./views/services.js";
import zone from "./views/zone.js";

const VIEWS = [overview, contacts, services, invites, network, zone, logs];
const app = document.getElementById("app");
const THEMES = ["auto", "light", "dark"];

let close = null;
let ends = [];
let isFirst = true;

// --- how it looks ------------------------------------------------------------------------------------------------

function setTheme(theme) {
  localStorage.setItem("overlay-theme", theme);
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new Event("themechange"));
  for (const button of document.querySelectorAll(".theme")) text(button, `Theme: ${theme}`);
}

const theme = () => localStorage.getItem("overlay-theme") ?? "auto";
const nextTheme = () => setTheme(THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);

// --- getting in --------------------------------------------------------------------------------------------------

function door(problem = "") {
  leave();
  document.title = "overlay";
  put(
    app,
    h(
      "main",
      { id: "main", class: "door" },
      h("h1", {}, "overlay"),
      problem ? h("p", { class: "problem", role: "alert" }, problem) : null,
      h("p", {}, "This is the dashboard of the overlay gateway on this machine. To open it, run this command in a terminal:"),
      h("p", {}, copyable("overlay dash", { block: true })),
      h("p", { class: "about" }, "It opens a link that lets this browser in for twelve hours. Nobody without that link is shown anything."),
      h("p", { class: "about" }, "Automatic proxy configuration: ", h("code", {}, `${location.origin}/proxy.pac`)),
    ),
  );
}

async function begin() {
  setTheme(theme());
  whenLoggedOut(() => {
    forgetKey();
    door();
  });
  const token = /^#login=(.+)$/.exec(location.hash)?.[1];
  if (token) {
    history.replaceState(null, "", "/#/");
    try {
      await logIn(token);
    } catch (error) {
      if (!key()) return door(error.message);
    }
  }
  if (!key()) return door();
  frame();
  return route();
}

// --- the frame ---------------------------------------------------------------------------------------------------

function frame() {
  const links = VIEWS.map((view, index) =>
    h(
      "li",
      {},
      h("a", { href: `#/${view.name}`, "data-view": view.name }, h("span", {}, view.title), h("kbd", { "aria-hidden": "true" }, String(index + 1))),
    ),
  );
  const nav = h("nav", { id: "nav", "aria-label": "Views" }, h("ul", {}, links));
  const menu = h("button", { type: "button", class: "menu", "aria-expanded": "false", "aria-controls": "nav" }, "Menu");
  menu.addEventListener("click", () => toggleMenu(menu.getAttribute("aria-expanded") !== "true"));
  const who = h("strong", { class: "who" });
  const state = h("span", { class: "state", role: "status" });
  const moving = h("span", { class: "moving", "aria-hidden": "true" });
  const header = h(
    "header",
    { class: "top" },
    menu,
    h("a", { class: "brand", href: "#/" }, "overlay"),
    who,
    state,
    moving,
    h("button", { type: "button", class: "help", title: "Keyboard shortcuts (?)", "aria-label": "Keyboard shortcuts", onclick: help }, "?"),
  );
  const foot = h(
    "div",
    { class: "foot" },
    h("button", { type: "button", class: "theme quiet", onclick: nextTheme }, `Theme: ${theme()}`),
    h("button", { type: "button", class: "quiet", onclick: () => logOut().then(() => door("You are logged out.")) }, "Log out"),
  );
  nav.append(foot);
  put(app, header, nav, h("main", { id: "main", tabindex: "-1" }));
  ends.push(
    store.on("status", (status) => {
      if (typeof status === "string") return;
      text(who, status.nickname);
      state.title = `Version ${status.version}, up for ${duration(status.uptime)}`;
    }),
    store.on("live", () => {
      const now = store.history.now("");
      text(moving, `↓ ${rate(now.received)}  ↑ ${rate(now.sent)}`);
    }),
    store.on("connected", (connected) => put(state, connected ? badge("good", "live") : badge("bad", "not connected"))),
  );
}

function toggleMenu(open) {
  document.querySelector(".menu")?.setAttribute("aria-expanded", String(open));
  document.getElementById("nav")?.classList.toggle("open", open);
}

function leave() {
  close?.();
  close = null;
  for (const end of ends) end();
  ends = [];
  store.close();
  for (const open of document.querySelectorAll("dialog")) open.remove();
}

// --- which view --------------------------------------------------------------------------------------------------

function route() {
  const main = document.getElementById("main");
  if (!key() || !main || main.classList.contains("door")) return;
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const view = name === "contacts" && rest[0] ? contact : (VIEWS.find((each) => each.name === name) ?? overview);
  close?.();
  for (const open of document.querySelectorAll("dialog")) open.close();
  toggleMenu(false);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === (view === contact ? "contacts" : view.name)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${rest[0] ?? view.title} · overlay`;
  put(main);
  main.dataset.view = view.name;
  close = view.open(main, rest) ?? null;
  store.watch(view.kinds);
  scrollTo(0, 0);
  if (!isFirst) main.focus({ preventScroll: true }); // at first one begins at the top of the page
  isFirst = false;
}

/** Show a view at once, so that the next key is for it. */
function go(name) {
  history.pushState(null, "", `#/${name}`);
  route();
}

// --- the keyboard ------------------------------------------------------------------------------------------------

const SHORTCUTS = [
  ...VIEWS.map((view, index) => [String(index + 1), view.title, () => go(view.name)]),
  ["/", "Filter what is shown", () => document.querySelector("main [type=search]")?.focus()],
  ["n", "The main thing to do in this view", () => document.querySelector("main .primary")?.click()],
  ["t", "Theme: automatic, light, dark", nextTheme],
  ["?", "This list", help],
];

function help() {
  if (document.querySelector("dialog")) return;
  dialog(
    "Keyboard shortcuts",
    h("dl", { class: "keys" }, ...SHORTCUTS.map(([name, words]) => [h("dt", {}, h("kbd", {}, name)), h("dd", {}, words)])),
    { close: "Close" },
  );
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const target = event.target;
  if (event.key === "Escape") {
    if (target.matches?.("[type=search]")) target.blur();
    toggleMenu(false);
    return;
  }
  if (target.closest?.("input, textarea, select, dialog") || document.querySelector("dialog[open]")) return;
  const shortcut = SHORTCUTS.find(([name]) => name === event.key);
  if (shortcut && document.querySelector("nav")) {
    event.preventDefault();
    shortcut[2]();
  }
});

addEventListener("hashchange", () => {
  if (location.hash.startsWith("#login=")) begin();
  else if (location.hash !== "#main") route();
});

begin();
