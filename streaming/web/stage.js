// The avatar alone, transparent: colour (premultiplied) left and matte right in one video, put
// together by WebGL; or, with ?model=my.vrm, a model of the user's own, drawn here by vrm.js.
// Choices stand after the #: input=demo|microphone, avatar, style, framing, token.
import { Api, Show, openMicrophone } from "/show.js";

const canvas = document.getElementById("canvas"), video = document.getElementById("video"), note = document.getElementById("note");
const AGAIN_MS = 1000;
const PACKING_MS = 20; // that sound leaves later than its motion: a packet must be full (640 samples), its coder looks ahead (312)
const VERTEX = `attribute vec2 at; varying vec2 uv;
void main() { uv = vec2(at.x, 1.0 - at.y); gl_Position = vec4(at * 2.0 - 1.0, 0.0, 1.0); }`;
const FRAGMENT = `precision mediump float; varying vec2 uv; uniform sampler2D both;
void main() {
  vec3 colour = texture2D(both, vec2(uv.x * 0.5, uv.y)).rgb;
  float matte = texture2D(both, vec2(0.5 + uv.x * 0.5, uv.y)).g;
  float alpha = matte < 0.03 ? 0.0 : matte; // what the coder leaves of black
  gl_FragColor = vec4(min(colour, vec3(alpha)), alpha);
}`;

function painter() {
  const gl = canvas.getContext("webgl", { alpha: true, premultipliedAlpha: true, preserveDrawingBuffer: true });
  if (!gl) throw new Error("This browser has no WebGL, which the transparent picture needs.");
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), gl.STATIC_DRAW);
  gl.enableVertexAttribArray(0);
  gl.bindAttribLocation(program, 0, "at");
  gl.vertexAttribPointer(gl.getAttribLocation(program, "at"), 2, gl.FLOAT, false, 0, 0);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  for (const [what, value] of [[gl.TEXTURE_MIN_FILTER, gl.LINEAR], [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]]) gl.texParameteri(gl.TEXTURE_2D, what, value);
  return () => {
    if (canvas.width !== video.videoWidth / 2) { canvas.width = video.videoWidth / 2; canvas.height = video.videoHeight; gl.viewport(0, 0, canvas.width, canvas.height); }
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, video);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    canvas.dataset.frames = Number(canvas.dataset.frames ?? 0) + 1;
  };
}

/** Pictures of the show, put together as they come. */
function showPictures(show) {
  const paint = painter();
  const next = () => { paint(); video.requestVideoFrameCallback(next); };
  show.addEventListener("playing", () => video.requestVideoFrameCallback(next));
}

/** A model of the user's own on the canvas. */
async function loadModel(api, name, framing, names) {
  const file = await api.file(`/models/${encodeURIComponent(name)}`);
  const { openModel } = await import("/vrm.js");
  return openModel(canvas, file, names, framing).catch((error) => { throw new Error(`${name} cannot be shown: ${error.message}.`); });
}

/** The model does as the show says, when its sound is heard here. */
function showModel(show, model) {
  let wait = 0; // ms that sound waits here before it is heard
  let last = -1; // frame
  const wear = (motion) => { if (motion.frame > last) { last = motion.frame; model.wear(motion); } };
  setInterval(async () => { wait = video.muted ? 0 : await soundDelay(show).catch(() => null) ?? wait; }, 1000);
  show.addEventListener("motion", ({ detail }) => setTimeout(wear, wait, detail));
}

/** The model does as a show of the command line says, and as the next one does. */
function follow(path, model) {
  const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}${path}`);
  socket.onmessage = ({ data }) => model.wear(JSON.parse(data));
  socket.onclose = () => setTimeout(follow, AGAIN_MS, path, model);
}

/** Milliseconds from a motion to its sound: this browser keeps sound back against an unsteady network. */
async function soundDelay(show) {
  const stats = [...(await show.pc.getStats()).values()];
  const sound = stats.find(({ type, kind }) => type === "inbound-rtp" && kind === "audio");
  if (!sound?.jitterBufferEmittedCount) return null;
  const { delay, count } = show.kept ?? { delay: 0, count: 0 };
  show.kept = { delay: sound.jitterBufferDelay, count: sound.jitterBufferEmittedCount };
  return PACKING_MS + Math.max(0, 1000 * (show.kept.delay - delay) / Math.max(1, show.kept.count - count));
}

async function begin() {
  const chosen = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const name = new URLSearchParams(location.search).get("model");
  const api = new Api();
  if (chosen.token) await api.login(chosen.token);
  const config = await api.ask("GET", "/config");
  const model = name ? await loadModel(api, name, chosen.framing, config.motion) : null;
  if (!config.follow) await sing(api, config.iceServers, chosen, model);
  else if (model) follow(config.follow, model);
  else throw new Error("Add ?model=my.vrm to the address: this page shows a VRM model of your own.");
}

/** A show of this page's own; in pictures, unless a model shows it. */
async function sing(api, iceServers, chosen, model) {
  const input = chosen.input ?? "microphone";
  const sound = input === "microphone" ? await openMicrophone() : null;
  const look = model ? { motion: true } : { matte: true, ...(chosen.avatar ? { avatar: chosen.avatar } : {}), ...(chosen.framing ? { framing: chosen.framing } : {}) };
  const show = new Show(api, { input, ...look, ...(chosen.style ? { style: Number(chosen.style) } : {}) }, { sound, iceServers });
  show.addEventListener("playing", () => { video.srcObject = show.stream; video.muted = input === "microphone"; video.play().catch(() => { video.muted = true; video.play(); }); });
  if (model) showModel(show, model); else showPictures(show);
  show.addEventListener("over", ({ detail }) => { note.textContent = detail.failure ?? ""; if (input === "microphone") setTimeout(() => location.reload(), 5000); });
  window.addEventListener("pagehide", () => show.abandon());
  await show.start();
}

begin().catch((error) => { note.textContent = error.message; });
