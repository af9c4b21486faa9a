// Three versions of an order, field by field: what both sides started from, what they made of it.

/**
 * Compares each of `names` in the three versions. Gives those that somebody changed, each with who
 * did: `theirs`, `mine`, `same` if both made the same of it, `conflict` if they did not.
 */
export function compare(names, base, theirs, mine) {
  return names
    .map((name) => {
      const row = { name, base: base[name], theirs: theirs[name], mine: mine[name] };
      return { ...row, who: whoChanged(row) };
    })
    .filter(({ who }) => who !== "nobody");
}

function whoChanged({ base, theirs, mine }) {
  if (theirs === mine) {
    return theirs === base ? "nobody" : "same";
  }
  if (theirs === base) {
    return "mine";
  }
  return mine === base ? "theirs" : "conflict";
}

/** The JSON merge patch (RFC 7396) that makes `to` of `from`, as far as `names` go. */
export function patchOf(names, from, to) {
  const changed = names.filter((name) => from[name] !== to[name]);
  return Object.fromEntries(changed.map((name) => [name, to[name] ?? null]));
}

const WHY = {
  conflict: "both changed it: choose",
  mine: "you changed it",
  same: "both changed it in the same way",
  theirs: "the other side changed it",
};

/**
 * Asks the user to choose between the two sides. Gives the merged order, or null if they would
 * rather not.
 */
export async function ask(who, fields, base, theirs, mine) {
  const dialog = document.querySelector("#merge");
  const names = fields.map(({ name }) => name);
  const rows = compare(names, base, theirs, mine);
  const conflicts = rows.filter((row) => row.who === "conflict").length;
  dialog.dataset.who = who;
  dialog.querySelector("#merge-title").textContent = `${who}, somebody else was first`;
  dialog.querySelector("#merge-text").textContent =
    `You started from version ${base.version}; meanwhile version ${theirs.version} was saved. ` +
    (conflicts === 0
      ? "Your changes do not touch each other."
      : `${conflicts === 1 ? "One field was" : `${conflicts} fields were`} changed by both of you.`);
  const labels = new Map(fields.map(({ name, label }) => [name, label]));
  dialog
    .querySelector("#merge-fields")
    .replaceChildren(...rows.map((row) => fieldset(row, labels.get(row.name))));
  dialog.returnValue = "";
  dialog.showModal();
  const open = dialog.querySelector("fieldset.conflict input") ?? dialog.querySelector(".primary");
  open.focus();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue !== "merge") {
    return null;
  }
  const merged = { ...theirs };
  for (const row of rows) {
    const side = dialog.querySelector(`input[name="merge-${row.name}"]:checked`);
    merged[row.name] = row[side?.value ?? "theirs"];
  }
  return merged;
}

function fieldset(row, label) {
  const set = document.createElement("fieldset");
  set.classList.toggle("conflict", row.who === "conflict");
  const legend = document.createElement("legend");
  const why = document.createElement("span");
  why.className = "why";
  why.textContent = ` — ${WHY[row.who]}`;
  legend.append(label, why);
  const choices = document.createElement("div");
  choices.className = "choices";
  choices.append(choice(row, "base", "Base"), choice(row, "theirs", "Theirs"), choice(row, "mine", "Mine"));
  set.append(legend, choices);
  return set;
}

function choice(row, side, title) {
  const isOpen = side !== "base" && row.who !== "same";
  const cell = document.createElement(isOpen ? "label" : "div");
  cell.className = `choice ${side}`;
  if (isOpen) {
    const radio = document.createElement("input");
    radio.type = "radio";
    radio.name = `merge-${row.name}`;
    radio.value = side;
    radio.required = true;
    radio.checked = row.who === side;
    radio.setAttribute("aria-label", `${title}: ${row[side] ?? "none"}`);
    cell.append(radio);
  }
  const name = document.createElement("span");
  name.className = "side";
  name.textContent = title;
  const value = document.createElement("span");
  value.className = "value";
  value.classList.toggle("none", row[side] === undefined);
  value.textContent = row[side] ?? "none";
  cell.append(name, value);
  return cell;
}
