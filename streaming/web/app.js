// The page: buttons, choices, meters, the panel that says where the time goes.
import { loginDialog, tokenOfAddress } from "/login.js";
import { Api, Karaoke, NeedsToken, Show, openMicrophone } from "/show.js";

const $ = (id) => document.getElementById(id);
const DRAWN = { puppet: "Puppet", head: "3-D head", neural: "Portrayed", portrait: "Photo" };
const COLOURS = [["#ffffff", "White"], ["#14b85a", "Green, to key out"], ["#f7c7d9", "Pink"], ["#17142f", "Night"]];
const STAGES = [ // what the panel calls each, and its colour
  ["microphone", "#8f7ee7"], ["network, there and back", "#4c6fd8"], ["listening ahead", "#d6297a"], ["hearing", "#e0559a"],
  ["drawing", "#f0883e"], ["waiting for its turn", "#d8b13a"], ["encoding", "#0f8599"], ["your browser", "#5b8c3a"],
];
const CAPTURE_MS = 20; // a packet of 10 ms, and the wait for it to be complete on the other side
const ENCODE_MS = 5; // of a picture, as measured at 512 × 512

const api = new Api();
const login = loginDialog("This server needs its token", async (token) => {
  await api.login(token);
  if (!config) open();
});
let config, show = null, karaoke = null, sound = null, recorder = null, purpose = null, began = 0, last = {};

// ---- saying things ------------------------------------------------------------------------------

function say(text) { if ($("state").textContent !== text) $("state").textContent = text; }
function complain(error) {
  if (error instanceof NeedsToken) return login.open || login.showModal();
  $("alertText").textContent = error.message ?? String(error);
  $("alert").hidden = false;
}
$("alertClose").onclick = () => { $("alert").hidden = true; };

// ---- choices ------------------------------------------------------------------------------------

function choice(group, value, checked, mark, name, changed) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name: group, value, checked, className: "choice" });
  input.addEventListener("change", changed);
  label.append(input, mark);
  if (name) label.append(Object.assign(document.createElement("span"), { textContent: name }));
  return label;
}

function chosen(group) { return document.querySelector(`input[name=${group}]:checked`)?.value; }

function wish() {
  return { avatar: chosen("avatar"), renderer: chosen("renderer") || undefined, style: Number(chosen("style")), background: chosen("background") };
}

function remember() { localStorage.setItem("wish", JSON.stringify(wish())); }

function build() {
  const kept = { ...config, ...JSON.parse(localStorage.getItem("wish") || "{}") };
  const names = config.avatars.map((avatar) => avatar.name);
  if (!names.includes(kept.avatar)) kept.avatar = config.avatar;
  for (const { name, title } of config.avatars) {
    const face = Object.assign(new Image(88, 88), { src: `/avatars/${name}.png`, alt: "" });
    $("avatars").append(choice("avatar", name, name === kept.avatar, face, title, changed));
  }
  config.styles.forEach((style, index) => {
    const pill = Object.assign(document.createElement("span"), { textContent: style });
    $("styles").append(choice("style", index, index === kept.style, pill, "", changed));
  });
  for (const [value, name] of [["scene", "A stage"], ...COLOURS]) {
    const swatch = Object.assign(document.createElement("span"), { title: name });
    swatch.style.background = value === "scene" ? "var(--scene)" : value;
    const label = choice("background", value, value === kept.background, swatch, "", changed);
    label.firstChild.setAttribute("aria-label", name);
    $("backgrounds").append(label);
  }
  if (!chosen("background")) document.querySelector("input[name=background]").checked = true;
  offerRenderers(kept.renderer);
  dress();
}

/** The ways in which the chosen avatar can be drawn, where there is a choice; "" is the server's own. */
function offerRenderers(wanted) {
  const { renderers } = config.avatars.find(({ name }) => name === chosen("avatar"));
  const own = renderers.includes(config.renderer) ? config.renderer : renderers[0];
  $("drawn").hidden = renderers.length < 2;
  $("renderers").replaceChildren(...renderers.map((name) => {
    const pill = Object.assign(document.createElement("span"), { textContent: DRAWN[name] ?? name });
    const picked = renderers.includes(wanted) ? wanted : own;
    return choice("renderer", name === own ? "" : name, name === picked, pill, "", changed);
  }));
}

/** The portrait that stands on the stage while nobody sings. */
function dress() {
  const { avatar, background } = wish();
  $("portrait").src = `/avatars/${avatar}.png`;
  $("stage").style.background = background === "scene" ? "" : background;
}

async function changed({ target }) {
  if (target.name === "avatar") offerRenderers(chosen("renderer"));
  remember();
  dress();
  if (!show) return;
  say("Changing");
  await show.change(wish()).catch(complain);
  if (show) say(WORDS[purpose]);
}

// ---- the show -----------------------------------------------------------------------------------

const WORDS = { microphone: "Listening to you", demo: "Singing the demo", song: "Singing your song", karaoke: "Karaoke" };

async function begin(input, { song, file } = {}) {
  $("alert").hidden = true;
  if (!await prepared()) return;
  busy(true);
  purpose = input;
  try {
    if (input === "microphone") { say("Waiting for the microphone"); sound = await openMicrophone(); }
    if (input === "karaoke") {
      say("Opening the backing");
      karaoke = new Karaoke(file, Number($("micDelay").value));
      sound = await karaoke.open();
    }
    say("Connecting");
    const mine = show = new Show(api, { input, ...(song ? { song } : {}), ...wish() }, { sound, iceServers: config.iceServers });
    mine.addEventListener("playing", () => ask(purpose), { once: true });
    mine.addEventListener("playing", () => play(mine));
    mine.addEventListener("connected", () => started(mine), { once: true });
    mine.addEventListener("connected", () => say(WORDS[purpose]));
    mine.addEventListener("waiting", () => say("Connection lost, trying again"));
    mine.addEventListener("closing", () => complain("The server is about to stop."));
    mine.addEventListener("levels", ({ detail }) => levels(detail));
    mine.addEventListener("measures", ({ detail }) => measures(detail));
    mine.addEventListener("over", ({ detail }) => ended(mine, detail.failure));
    mine.tell({ avDelay: Number($("avDelay").value) });
    await mine.start();
  } catch (error) {
    if (show) { show.finish(null); } else ended(null, null);
    complain(error);
  }
}

const own = (purpose) => purpose === "microphone" || purpose === "karaoke"; // what is sung here would come back into it

/** Whether the show may be heard, once: a connection that is renewed changes nothing of it. */
function ask(purpose) {
  hear(!own(purpose));
  $("headphones").hidden = !own(purpose);
}

function play(mine) {
  const video = $("video");
  video.srcObject = mine.stream;
  video.play().catch(() => { hear(false); video.play().catch(complain); });
  video.requestVideoFrameCallback?.(() => $("stage").classList.add("playing"));
  watch(video);
}

function started(mine) {
  busy(false);
  began = performance.now();
  karaoke?.start(() => setTimeout(() => mine.stop(), 1000));
  for (const id of ["sing", "demo", "file", "karaoke"]) $(id).hidden = true;
  for (const id of ["stop", "hear", "record"]) $(id).hidden = false;
  $("record").disabled = !window.MediaRecorder;
  $("clock").hidden = false;
  $("stop").focus({ preventScroll: true });
}

function ended(mine, failure) {
  if (mine && mine !== show) return;
  if (recorder) record();
  show = null;
  karaoke?.close();
  karaoke = null;
  sound?.getTracks().forEach((track) => track.stop());
  sound = null;
  $("stage").classList.remove("playing");
  $("video").srcObject = null;
  const focused = document.activeElement === $("stop");
  for (const id of ["sing", "demo", "file", "karaoke"]) $(id).hidden = false;
  for (const id of ["stop", "hear", "record", "clock", "headphones"]) $(id).hidden = true;
  if (focused) $("sing").focus({ preventScroll: true });
  levels({ voice: 0, backing: 0 });
  busy(false);
  say("Ready");
  if (failure) complain(failure);
}

function busy(now) { for (const id of ["sing", "demo", "file", "karaoke"]) $(id).disabled = now; }

function hear(on) {
  $("video").muted = !on;
  $("hear").setAttribute("aria-pressed", on);
  $("hearWord").textContent = on ? "on" : "off";
}

// ---- recording ----------------------------------------------------------------------------------

function record() {
  if (recorder) return recorder.stop();
  const kind = ["video/mp4;codecs=avc1,mp4a.40.2", "video/mp4", "video/webm;codecs=vp8,opus", "video/webm"].find((type) => MediaRecorder.isTypeSupported(type));
  const pieces = [];
  recorder = new MediaRecorder(show.stream, { mimeType: kind, videoBitsPerSecond: 4e6 });
  recorder.ondataavailable = ({ data }) => pieces.push(data);
  recorder.onstop = () => { // pressed, or the connection that it recorded is gone
    recorder = null;
    save(new Blob(pieces, { type: kind }));
    recording(false);
  };
  recorder.start(1000);
  recording(true);
}

function recording(on) {
  $("record").setAttribute("aria-pressed", on);
  $("recordWord").textContent = on ? "press to save" : "a video";
  $("clock").classList.toggle("recording", on);
}

function save(blob) {
  const stamp = new Date().toISOString().slice(0, 16).replace(/[:T]/g, "-");
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `cantar-${stamp}.${blob.type.includes("mp4") ? "mp4" : "webm"}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// ---- meters and the panel -----------------------------------------------------------------------

function meter(id, level) {
  $(id).firstChild.style.transform = `scaleX(${level.toFixed(3)})`;
  $(id).setAttribute("aria-valuenow", Math.round(100 * level));
}

function levels({ voice, backing }) {
  meter("voice", voice);
  meter("backing", backing);
  if (!show) return;
  const s = Math.max(0, Math.floor((performance.now() - began) / 1000));
  $("clock").textContent = `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

/** How long pictures take inside the browser, from the network to the screen. */
function watch(video) {
  const seen = (now, frame) => {
    if (frame.receiveTime) last.browser = 0.9 * (last.browser ?? frame.expectedDisplayTime - frame.receiveTime) + 0.1 * (frame.expectedDisplayTime - frame.receiveTime);
    last.frames = (last.frames ?? 0) + 1;
    if (show) video.requestVideoFrameCallback(seen);
  };
  last = {};
  video.requestVideoFrameCallback?.(seen);
}

/** Milliseconds of each of STAGES; of a song that the server has, only the way back counts. */
function stages(m) {
  const trip = m.roundTrip ?? 0, turn = Math.max(0, m.late - m.lookahead - m.hear - m.draw);
  const before = own(purpose) ? [CAPTURE_MS, trip] : [0, trip / 2];
  return [...before, m.lookahead, m.hear, m.draw, turn, m.convert + ENCODE_MS, last.browser ?? 0];
}

function row(name, ms, colour) {
  const row = document.createElement("tr"), head = Object.assign(document.createElement("th"), { scope: "row" });
  if (colour) head.append(Object.assign(document.createElement("i"), { style: `background:${colour}` }));
  head.append(name);
  row.append(head, Object.assign(document.createElement("td"), { textContent: `${ms.toFixed(0)} ms` }));
  return row;
}

function measures(m) {
  if (m.late === undefined) return;
  const parts = stages(m);
  const total = parts.reduce((a, b) => a + b, 0);
  $("total").textContent = `${total.toFixed(0)} ms`;
  if (!$("latency").open) return;
  $("stack").replaceChildren(...parts.map((ms, i) => {
    const bar = document.createElement("i");
    bar.style.cssText = `width:${(100 * ms) / total}%;background:${STAGES[i][1]}`;
    return bar;
  }));
  const whole = row(own(purpose) ? "from glass to glass" : "altogether", total);
  $("stages").replaceChildren(...parts.map((ms, i) => row(STAGES[i][0], ms, STAGES[i][1])), whole);
  const skipped = m.frames ? (100 * m.skipped) / m.frames : 0;
  $("quality").textContent = `${m.fps.toFixed(1)} pictures a second, ${skipped.toFixed(1)} % skipped, sound to picture ${m.late.toFixed(0)} ms (95 % within ${m.late95.toFixed(0)}).`;
}

// ---- pressing things ----------------------------------------------------------------------------

$("sing").onclick = () => begin("microphone");
$("demo").onclick = () => begin("demo");
$("file").onclick = () => pick("song");
$("karaoke").onclick = () => pick("karaoke");
$("stop").onclick = () => show?.stop();
$("record").onclick = () => record();
$("hear").onclick = () => { hear($("video").muted); $("headphones").hidden = true; };
$("wearing").onclick = () => { hear(true); $("headphones").hidden = true; $("hear").focus(); };
$("silent").onclick = () => { $("headphones").hidden = true; $("hear").focus(); };
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && show && !login.open) show.stop(); });
window.addEventListener("pagehide", () => show?.abandon());
for (const wakes of ["resume", "visibilitychange"]) { // browsers pause the videos of a tab that sleeps
  document.addEventListener(wakes, () => { if (show && $("video").paused) $("video").play().catch(() => {}); });
}

let picking = null;
function pick(purpose) { picking = purpose; $("picker").value = ""; $("picker").click(); }
$("picker").onchange = async () => {
  const file = $("picker").files[0];
  if (!file) return;
  if (!await prepared()) return;
  if (picking === "karaoke") return begin("karaoke", { file });
  if (file.size > config.uploadMb * 1e6) return complain(new Error(`This file is too large: at most ${config.uploadMb} MB.`));
  busy(true);
  say("Reading your song");
  try {
    const { song } = await api.ask("POST", "/songs", file, "application/octet-stream");
    return await begin("song", { song });
  } catch (error) {
    busy(false);
    say("Ready");
    return complain(error);
  }
};

function slider(id, moved) {
  const show = () => {
    $(`${id}Out`).textContent = `${$(id).value} ms`;
    $(id).setAttribute("aria-valuetext", `${$(id).value} milliseconds`);
  };
  $(id).value = localStorage.getItem(id) ?? $(id).value;
  $(id).oninput = () => { show(); localStorage.setItem(id, $(id).value); moved(Number($(id).value)); };
  show();
}
slider("avDelay", (ms) => show?.tell({ avDelay: ms }));
slider("micDelay", (ms) => { if (karaoke) karaoke.micDelay = ms; });

// ---- beginning ----------------------------------------------------------------------------------

async function open() {
  try {
    config = await api.ask("GET", "/config");
    build();
    say("Ready");
    document.body.dataset.ready = "yes";
  } catch (error) {
    say("Not ready");
    complain(error);
  }
}

/** Whether the page knows what there is; asks anew where it does not, and says why it cannot. */
async function prepared() {
  if (!config) await open();
  return Boolean(config);
}

const token = tokenOfAddress();
if (token) await api.login(token).catch(() => {});
open();
