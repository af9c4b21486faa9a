// Two panes that edit one order, each with the version that it has read.

import { ask, patchOf } from "./merge.js";
import { send } from "./wire.js";

const ORDERS = "/v1/partners/0b0e7a1e-93a5-4c3f-8a5e-0d6f6b6f2a11/orders";

const FIELDS = [
  { name: "item", label: "Item", type: "text" },
  { name: "pieces", label: "Pieces", type: "number" },
  { name: "delivery", label: "Delivery", type: "date" },
  { name: "contact", label: "Contact", type: "text" },
  { name: "note", label: "Note", type: "textarea" },
];
const NAMES = FIELDS.map(({ name }) => name);

const FIRST = { item: "chair", pieces: 4, delivery: "2026-12-14", contact: "reception" };

/** One editor: what it has read, and what it makes of that. */
class Pane {
  /** The order as it was read, and its tag: always changed together. */
  #base = null;
  #tag = null;
  /** A save whose answer did not come: the next one with the same content is the same save. */
  #unanswered = null;
  #busy = false;

  constructor(who) {
    this.who = who;
    const template = document.querySelector("#pane");
    this.element = template.content.firstElementChild.cloneNode(true);
    this.element.dataset.who = who;
    const title = this.element.querySelector("h2");
    title.textContent = who;
    title.id = `title-${who}`;
    this.element.setAttribute("aria-labelledby", title.id);
    this.form = this.element.querySelector("form");
    this.element.querySelector(".fields").append(...FIELDS.map((field) => this.#input(field)));
    this.form.addEventListener("input", () => this.#mark());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#alone(() => this.#save());
    });
    const check = this.element.querySelector(".check");
    check.addEventListener("click", () => this.#alone(() => this.#check()));
    this.element.querySelector(".discard").addEventListener("click", () => {
      if (this.#base !== null) {
        this.#fill(this.#base);
        this.#say("", "Back at what was read.");
      }
    });
  }

  #input({ name, label, type }) {
    const field = document.createElement("div");
    field.className = type === "textarea" ? "field wide" : "field";
    const control = document.createElement(type === "textarea" ? "textarea" : "input");
    if (type !== "textarea") {
      control.type = type;
    }
    if (type === "number") {
      control.min = "0";
    }
    control.name = name;
    control.id = `${this.who}-${name}`;
    const caption = document.createElement("label");
    caption.htmlFor = control.id;
    caption.textContent = label;
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.textContent = "edited";
    field.append(caption, mark, control);
    return field;
  }

  /** One request of a pane at a time; a second click is not a second save. */
  async #alone(action) {
    if (this.#busy || this.#base === null) {
      return;
    }
    this.#busy = true;
    const buttons = this.element.querySelectorAll("button");
    buttons.forEach((button) => button.setAttribute("aria-disabled", "true"));
    try {
      await action();
    } catch {
      this.#say("bad", "No answer. Whether it was saved is not known: save again, it will not count twice.");
    } finally {
      buttons.forEach((button) => button.removeAttribute("aria-disabled"));
      this.#busy = false;
    }
  }

  async open(path) {
    this.path = path;
    this.#base = null;
    this.#unanswered = null;
    // No condition of our own: the browser's cache has its own way to save the transfer.
    const answer = await send(this.who, "GET", path);
    if (answer.status !== 200) {
      this.#say("bad", problem(answer));
      return;
    }
    this.#take(answer);
    this.#say("", "Read.");
  }

  async #check() {
    const headers = { "If-None-Match": this.#tag };
    const answer = await send(this.who, "GET", this.path, { headers });
    if (answer.status === 304) {
      this.#say("good", "Nothing has changed.");
    } else if (answer.status !== 200) {
      this.#say("bad", problem(answer));
    } else if (this.#changes() === 0) {
      this.#take(answer);
      this.#say("good", `Version ${answer.json.version} is new.`);
    } else {
      await this.#merge(answer.json, answer.tag);
    }
  }

  async #save() {
    if (this.#changes() === 0) {
      this.#say("", "There is nothing to save.");
      return;
    }
    await this.#write(this.#tag, this.#base, this.#mine());
  }

  /** Makes `to` of `from`, whose tag is `tag`; if that is not current any more, merges. */
  async #write(tag, from, to) {
    const patch = patchOf(NAMES, from, to);
    const content = JSON.stringify([tag, patch]);
    if (this.#unanswered?.content !== content) {
      this.#unanswered = { content, key: crypto.randomUUID() };
    }
    const headers = { "If-Match": tag, "Idempotency-Key": this.#unanswered.key };
    const answer = await send(this.who, "PATCH", this.path, { headers, json: patch });
    this.#unanswered = null;
    if (answer.status === 200) {
      this.#take(answer);
      this.#say("good", `Saved as version ${answer.json.version}.`);
    } else if (answer.status === 409 && answer.json?.currentResource !== undefined) {
      // All that a merge needs is in this one answer.
      await this.#merge(answer.json.currentResource, answer.tag, to);
    } else {
      this.#say("bad", problem(answer));
    }
  }

  async #merge(theirs, tag, mine = this.#mine()) {
    this.#say("bad", `Somebody else has saved version ${theirs.version}.`);
    const merged = await ask(this.who, FIELDS, this.#base, theirs, mine);
    if (merged === null) {
      this.#say("", "Nothing was saved. Your edits are still here.");
      this.form.querySelector("[type=submit]").focus();
      return;
    }
    // From here on the merged order is the edit, and theirs is what it is based on.
    this.#base = theirs;
    this.#tag = tag;
    this.#fill(merged);
    if (this.#changes() === 0) {
      this.#say("good", `Version ${theirs.version} has it all.`);
    } else {
      await this.#write(tag, theirs, merged);
    }
    this.form.querySelector("[type=submit]").focus();
  }

  #take({ json, tag }) {
    this.#base = json;
    this.#tag = tag;
    this.#fill(json);
  }

  #fill(order) {
    for (const name of NAMES) {
      this.form.elements.namedItem(name).value = order[name] ?? "";
    }
    this.#mark();
  }

  /** What stands in the form. An empty field is none. */
  #mine() {
    const entries = FIELDS.map(({ name, type }) => {
      const text = this.form.elements.namedItem(name).value;
      return [name, text === "" ? undefined : type === "number" ? Number(text) : text];
    });
    return Object.fromEntries(entries);
  }

  #changes() {
    return Object.keys(patchOf(NAMES, this.#base, this.#mine())).length;
  }

  #mark() {
    const patch = this.#base === null ? {} : patchOf(NAMES, this.#base, this.#mine());
    for (const name of NAMES) {
      this.form.elements.namedItem(name).closest(".field").classList.toggle("changed", name in patch);
    }
    const version = this.element.querySelector(".version");
    version.textContent = this.#base === null ? "no version yet" : `version ${this.#base.version}`;
  }

  #say(kind, text) {
    const status = this.element.querySelector(".status");
    status.dataset.kind = kind;
    status.textContent = text;
  }
}

function problem({ status, json }) {
  return json?.detail ?? json?.title ?? `The server said ${status}.`;
}

const panes = ["Alice", "Bob"].map((who) => new Pane(who));
document.querySelector("#panes").append(...panes.map((pane) => pane.element));

/** Opens the order that the address names, so that another tab can open the same one. */
async function open() {
  // One segment, whatever the address says.
  const uuid = encodeURIComponent(location.hash.slice(1));
  if (uuid === "") {
    await create();
    return;
  }
  for (const pane of panes) {
    await pane.open(`${ORDERS}/${uuid}`);
  }
}

async function create() {
  const headers = { "Idempotency-Key": crypto.randomUUID() };
  const answer = await send("page", "POST", ORDERS, { headers, json: FIRST });
  if (answer.status === 201) {
    location.hash = answer.json.uuid;
  }
}

addEventListener("hashchange", open);
document.querySelector("#new-order").addEventListener("click", create);
await open();
