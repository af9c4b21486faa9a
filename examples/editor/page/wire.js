// Requests, and the list of them that the page shows.

const FIELDS_SENT = ["If-Match", "If-None-Match", "Idempotency-Key"];
const FIELDS_GOT = ["ETag", "Retry-After", "Idempotency-Replayed"];

/**
 * Sends a request on behalf of `who`, and writes it down. Gives the status, the tag and the JSON of
 * the answer; throws if there was none.
 */
export async function send(who, method, path, { headers = {}, json } = {}) {
  const entry = begin(who, method, path, headers);
  const request = { method, headers: { ...headers } };
  if (json !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(json);
  }
  try {
    const response = await fetch(path, request);
    const text = await response.text();
    const answer = {
      status: response.status,
      tag: response.headers.get("ETag"),
      location: response.headers.get("Location"),
      json: text === "" ? null : JSON.parse(text),
    };
    end(entry, response, answer);
    return answer;
  } catch (error) {
    show(entry, "bad", "no answer", []);
    throw error;
  }
}

function begin(who, method, path, headers) {
  const entry = document.createElement("li");
  entry.dataset.who = who;
  entry.append(part("who", who));
  // The path is long, and its end is what differs.
  const short = path.replace(/^.*(\/orders)(\/[0-9a-f]{8})?.*$/, "…$1$2");
  const sent = part("sent", `${method} ${short.endsWith("orders") ? short : `${short}…`}`);
  for (const name of FIELDS_SENT.filter((name) => name in headers)) {
    sent.append(document.createElement("br"), part("detail", `${name}: ${brief(headers[name])}`));
  }
  entry.append(sent);
  const log = document.querySelector("#log");
  log.append(entry);
  log.scrollTop = log.scrollHeight;
  return entry;
}

function end(entry, response, answer) {
  const kind = response.ok ? "good" : response.status === 304 ? "plain" : "bad";
  const details = FIELDS_GOT.filter((name) => response.headers.has(name));
  show(
    entry,
    kind,
    `${response.status} ${response.statusText || answer.json?.title || ""}`,
    details.map((name) => `${name}: ${response.headers.get(name)}`),
  );
}

function show(entry, kind, status, details) {
  const got = part("got", "");
  const answer = part("answer", status);
  answer.dataset.kind = kind;
  got.append(answer);
  for (const detail of details) {
    got.append(document.createElement("br"), part("detail", detail));
  }
  entry.append(got);
  const log = document.querySelector("#log");
  log.scrollTop = log.scrollHeight;
}

/** A key of 36 characters says no more than its first eight. */
function brief(value) {
  return value.length > 20 ? `${value.slice(0, 8)}…` : value;
}

function part(name, text) {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  return element;
}
