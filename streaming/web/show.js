// One show: the connection to the avatar, and what the browser sends it. No page here.

const RETRY_MS = [500, 1500, 3000, 5000];
const GATHER_MS = 1500;
const PROCESSING_OFF = {
  echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: { ideal: 2 }, sampleRate: 48000,
};

export class NeedsToken extends Error {}

export class Api {
  /** Requests to the server that this page came from; `pass` comes from logging in. */
  constructor() { this.pass = sessionStorage.getItem("pass"); }

  async ask(...request) {
    const response = await this.answer(...request);
    return response.status === 204 ? {} : response.json().catch(() => ({}));
  }

  /** A file, as an ArrayBuffer. */
  async file(path) { return (await this.answer("GET", path)).arrayBuffer(); }

  /** The response, if it is a good one. */
  async answer(method, path, body, type = "application/json", keepalive = false) {
    const headers = this.pass ? { Authorization: `Bearer ${this.pass}` } : {};
    if (body !== undefined) headers["Content-Type"] = type;
    const sent = body === undefined || body instanceof Blob ? body : JSON.stringify(body);
    let response;
    try {
      response = await fetch(path, { method, headers, body: sent, keepalive });
    } catch {
      throw new Error("The server does not answer. Is Cantar still running?");
    }
    if (response.ok) return response;
    const answer = await response.json().catch(() => ({}));
    if (response.status === 401) throw new NeedsToken(answer.error);
    throw new Error(sentence(answer.error || `the server answered ${response.status}`));
  }

  async login(token) {
    const { pass } = await this.ask("POST", "/login", { token });
    this.pass = pass;
    sessionStorage.setItem("pass", pass);
  }
}

/** A reason as a sentence for people. */
export function sentence(text) {
  const said = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(said) ? said : `${said}.`;
}

/** The microphone as it is: a singer's sound must not be processed. Throws with words for people. */
export async function openMicrophone() {
  if (!navigator.mediaDevices) {
    throw new Error("The microphone is not available: browsers give it only to pages on this computer (localhost) or over HTTPS. Start Cantar with --tls-cert and --tls-key.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: PROCESSING_OFF });
  } catch (error) {
    const why = {
      NotAllowedError: "The microphone was denied. Allow it for this page (the sign left of the address), then try again.",
      NotFoundError: "No microphone was found. Connect one, then try again.",
      NotReadableError: "The microphone is busy: another program uses it. Close that one, then try again.",
    };
    throw new Error(why[error.name] || `The microphone cannot be opened (${error.name}).`);
  }
}

/** Voice left, backing right: the avatar need not separate what it gets apart. */
export class Karaoke {
  constructor(file, micDelayMs) { this.file = file; this.micDelayMs = micDelayMs; }

  async open() {
    this.context = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
    await this.context.resume();
    let song;
    try {
      song = await this.context.decodeAudioData(await this.file.arrayBuffer());
    } catch {
      await this.context.close();
      throw new Error("This file is not a song that the browser can play.");
    }
    try {
      this.microphone = await openMicrophone();
    } catch (error) {
      await this.context.close();
      throw error;
    }
    this.player = new AudioBufferSourceNode(this.context, { buffer: song });
    this.delay = new DelayNode(this.context, { maxDelayTime: 1, delayTime: this.micDelayMs / 1000 });
    const mono = (input) => {
      const gain = new GainNode(this.context, { channelCount: 1, channelCountMode: "explicit" });
      input.connect(gain);
      return gain;
    };
    const both = new ChannelMergerNode(this.context, { numberOfInputs: 2 });
    mono(new MediaStreamAudioSourceNode(this.context, { mediaStream: this.microphone })).connect(both, 0, 0);
    mono(this.player.connect(this.delay)).connect(both, 0, 1);
    const out = new MediaStreamAudioDestinationNode(this.context, { channelCount: 2 });
    both.connect(out);
    this.player.connect(this.context.destination);
    return out.stream;
  }

  start(ended) { this.player.onended = ended; this.player.start(); }
  set micDelay(ms) { this.micDelayMs = ms; if (this.delay) this.delay.delayTime.value = ms / 1000; }
  close() {
    this.microphone?.getTracks().forEach((track) => track.stop());
    if (this.player) this.player.onended = null;
    this.context?.close();
  }
}

export class Show extends EventTarget {
  /**
   * Events: `playing` (a MediaStream is in `stream`), `motion` (of a wish for it), `levels`, `measures`, `waiting` (the
   * connection broke and is being renewed), `over` (detail.failure says why, if anything was wrong).
   */
  constructor(api, wish, { sound = null, iceServers = [] } = {}) {
    super();
    Object.assign(this, { api, wish, sound, iceServers, session: null, stream: null, over: false });
    this.wake = () => { if (!document.hidden && this.pc?.connectionState !== "connected") this.resume(); };
  }

  async start() {
    await this.connect();
    window.addEventListener("online", this.wake);
    document.addEventListener("visibilitychange", this.wake);
  }

  async connect() {
    this.pc?.close();
    const pc = this.pc = new RTCPeerConnection({ iceServers: this.iceServers, bundlePolicy: "max-bundle" });
    if (this.sound) pc.addTrack(this.sound.getAudioTracks()[0], this.sound);
    else pc.addTransceiver("audio", { direction: "recvonly" });
    if (this.wish.motion) {
      const lane = pc.createDataChannel("motion", { ordered: false, maxRetransmits: 0 });
      lane.onmessage = (event) => this.emit("motion", JSON.parse(event.data));
    } else pc.addTransceiver("video", { direction: "recvonly" });
    this.channel = pc.createDataChannel("show", { ordered: true });
    this.channel.onmessage = (event) => this.told(JSON.parse(event.data));
    this.channel.onopen = () => this.settings && this.tell(this.settings);
    pc.ontrack = (event) => this.gotTrack(event);
    pc.onconnectionstatechange = () => this.changed(pc);
    const offer = await pc.createOffer();
    await pc.setLocalDescription({ type: "offer", sdp: inStereo(offer.sdp) });
    await gathered(pc);
    const body = { type: "offer", sdp: pc.localDescription.sdp, ...(this.session ? { session: this.session } : this.wish) };
    const answer = await this.api.ask("POST", "/offer", body);
    if (this.over) { this.api.ask("DELETE", `/sessions/${answer.session}`).catch(() => {}); return; }
    this.session = answer.session;
    await pc.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  }

  gotTrack({ receiver, streams, track }) {
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    if (track.kind !== (this.wish.motion ? "audio" : "video")) return;
    this.stream = streams[0];
    this.emit("playing");
  }

  changed(pc) {
    if (pc !== this.pc || this.over) return;
    const state = pc.connectionState;
    if (state === "connected") this.emit("connected");
    clearTimeout(this.patience);
    if (state === "failed") this.resume();
    else if (state === "disconnected") this.patience = setTimeout(() => this.resume(), 2000);
  }

  /** A new offer for the same show: aiortc cannot restart ICE. */
  async resume() {
    if (this.over || this.resuming || !this.session) return;
    this.resuming = true;
    this.emit("waiting");
    let reason = "The connection was lost.";
    for (const pause of RETRY_MS) {
      await new Promise((done) => setTimeout(done, pause));
      if (this.over) return;
      try {
        await this.connect();
        if (await connected(this.pc)) { this.resuming = false; return; }
      } catch (error) {
        reason = error.message;
        if (error instanceof NeedsToken) break; // its pass is over: no trying again brings a new one
      }
    }
    this.finish(reason);
  }

  told(message) {
    if (message.type === "over") this.finish(message.failure ? sentence(message.failure) : null);
    else if (message.type === "closing") this.emit("closing", message);
    else this.emit(message.type, message);
  }

  /** A slider moved. */
  tell(settings) {
    this.settings = { ...this.settings, ...settings };
    if (this.channel?.readyState === "open") this.channel.send(JSON.stringify(settings));
  }

  /** Another avatar, style or background, while it sings. */
  async change(wish) {
    this.wish = { ...this.wish, ...wish };
    if (this.session) await this.api.ask("PATCH", `/sessions/${this.session}`, this.wish);
  }

  stop() {
    const session = this.session;
    this.finish(null);
    if (session) this.api.ask("DELETE", `/sessions/${session}`).catch(() => {});
  }

  /** The page goes away: a request that outlives it says so. */
  abandon() { if (!this.over && this.session) this.api.ask("DELETE", `/sessions/${this.session}`, undefined, "", true).catch(() => {}); }

  finish(failure) {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.patience);
    window.removeEventListener("online", this.wake);
    document.removeEventListener("visibilitychange", this.wake);
    this.pc?.close();
    this.emit("over", { failure });
  }

  emit(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}

/** Browsers offer Opus in mono unless told otherwise. */
function inStereo(sdp) {
  const opus = /a=rtpmap:(\d+) opus\/48000/i.exec(sdp);
  if (!opus) return sdp;
  return sdp.replace(new RegExp(`(a=fmtp:${opus[1]} [^\\r\\n]*)`), "$1;stereo=1;sprop-stereo=1");
}

function gathered(pc) {
  return new Promise((done) => {
    const check = () => { if (pc.iceGatheringState === "complete") done(); };
    pc.addEventListener("icegatheringstatechange", check);
    setTimeout(done, GATHER_MS);
    check();
  });
}

function connected(pc) {
  return new Promise((done) => {
    const check = () => {
      if (pc.connectionState === "connected") done(true);
      else if (["failed", "closed"].includes(pc.connectionState)) done(false);
    };
    pc.addEventListener("connectionstatechange", check);
    setTimeout(() => done(pc.connectionState === "connected"), 8000);
    check();
  });
}
