// The control page: asks the show for expressions, sizes, rest … by button, slider or key. What is
// pressed is what the server says is asked for, so two pages and OSC never disagree for long.
import { loginDialog, tokenOfAddress } from "/login.js";
import { Api, NeedsToken } from "/show.js";

const $ = (id) => document.getElementById(id);
const SIZES = ["mouth", "head", "eyes", "tempo"];
const LOOK_MS = 1000; // how often what others ask for is looked at
const api = new Api();
const login = loginDialog("Directing needs the token", async (token) => {
  api.pass = token; // the token itself: a pass, which guests have too, directs nothing
  show(await api.ask("GET", "/direction"));
});
let asked = null, busy = 0;

function words(name) { const text = name.replace("_", " "); return text.charAt(0).toUpperCase() + text.slice(1); }
function say(text) { if ($("state").textContent !== text) $("state").textContent = text; }

// ---- asking -------------------------------------------------------------------------------------

async function ask(request) {
  busy += 1;
  try {
    show(await api.ask("PATCH", "/direction", { ...request, seconds: Number($("seconds").value) }));
  } catch (error) { trouble(error); } finally { busy -= 1; }
}

async function look() {
  if (busy || document.hidden || login.open) return;
  try { const answer = await api.ask("GET", "/direction"); if (!busy) show(answer); } catch (error) { trouble(error); }
}

function trouble(error) {
  if (error instanceof NeedsToken) { say("Locked"); if (!login.open) login.showModal(); } else say(error.message);
}

const toggle = {
  overlay: (name) => ask({ overlays: { [name]: asked?.overlays[name] ? 0 : 1 } }),
  rest: () => ask({ rest: !asked?.rest }),
  mute: () => ask({ mute: !asked?.mute }),
  camera: () => ask({ camera: !asked?.camera }),
};

// ---- showing ------------------------------------------------------------------------------------

function key(name, shortcut, label, pressed) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "key", onclick: pressed });
  button.append(Object.assign(document.createElement("b"), { textContent: name }));
  if (shortcut) { button.append(Object.assign(document.createElement("kbd"), { textContent: label })); button.setAttribute("aria-keyshortcuts", shortcut); }
  button.setAttribute("aria-pressed", "false");
  return button;
}

function build({ overlays, styles, most, mostTempo }) {
  $("overlays").replaceChildren(...overlays.map((name, i) => {
    const digit = i < 10 ? String((i + 1) % 10) : "";
    const button = key(words(name), digit, digit, () => toggle.overlay(name));
    button.dataset.overlay = name;
    return button;
  }));
  $("styles").replaceChildren(...styles.map((name, i) => key(name, `Shift+${i + 1}`, `⇧${i + 1}`, () => ask({ style: i }))));
  for (const name of SIZES) $(name).max = name === "tempo" ? mostTempo : most;
}

function show(now) {
  if (!asked) build(now.choices);
  asked = now;
  say(now.rest ? "Away" : now.mute ? "Muted" : "On air");
  $("camera").hidden = now.camera === null;
  for (const id of ["rest", "mute", "camera"]) $(id).setAttribute("aria-pressed", now[id]);
  for (const button of $("overlays").children) button.setAttribute("aria-pressed", Boolean(now.overlays[button.dataset.overlay]));
  [...$("styles").children].forEach((button, i) => button.setAttribute("aria-pressed", i === now.style));
  for (const name of SIZES) if (document.activeElement !== $(name)) { $(name).value = now[name]; tell(name); }
  document.body.dataset.ready = "yes";
}

function tell(name) { $(`${name}Out`).textContent = `${Number($(name).value).toFixed(1)}${name === "seconds" ? " s" : ""}`; }

// ---- pressing -----------------------------------------------------------------------------------

$("rest").onclick = toggle.rest;
$("mute").onclick = toggle.mute;
$("camera").onclick = toggle.camera;
$("recentre").onclick = () => ask({ recentre: true });
$("reset").onclick = () => { document.activeElement?.blur?.(); ask({ reset: true }); };
for (const name of SIZES) {
  $(name).oninput = () => { tell(name); if (!busy) ask({ [name]: Number($(name).value) }); };
  $(name).onchange = () => ask({ [name]: Number($(name).value) });
}
$("seconds").oninput = () => tell("seconds");

document.addEventListener("keydown", (event) => {
  if (login.open || event.repeat || event.ctrlKey || event.altKey || event.metaKey || !asked) return;
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
  if (digit) {
    const list = event.shiftKey ? $("styles").children : $("overlays").children;
    list[digit === "0" ? 9 : Number(digit) - 1]?.click();
  } else {
    const id = { r: "rest", m: "mute", v: "camera", c: "recentre", Escape: "reset" }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!id || $(id).hidden) return;
    $(id).click();
  }
  event.preventDefault();
});

const token = tokenOfAddress();
if (token) api.pass = token;
await look();
setInterval(look, LOOK_MS);
